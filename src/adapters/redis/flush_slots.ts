/**
 * Are the slots for flushes in Redis, which all instances share. Who waits asks again and again,
 * the more often the nearer its turn is: a slot that is given back lies idle for a few
 * milliseconds, and fifty who wait are some hundred questions a second.
 */
import type { Clock } from "../../ports/clock.ts";
import type { FlushSlot, FlushSlots } from "../../ports/flush_slots.ts";
import { systemClock } from "../../ports/clock.ts";
import { Connection } from "./connection.ts";
import type { RedisAddress } from "./handshake.ts";
import { GRANTED, RedisSlotBoard, type SlotBoard } from "./slot_board.ts";

export interface RedisFlushSlotsOptions extends RedisAddress {
  /** It is put before every key. */
  readonly prefix: string;
  /** So many are held at a time, by all together. */
  readonly count: number;
  /** Nobody waits longer than this. */
  readonly waitMs: number;
  /** The default is 30,000: longer than any flush may take. */
  readonly slotLifeMs?: number;
  /** The default is 2,000. */
  readonly placeLifeMs?: number;
  /** A question waits for an answer for so long; the default is 1,000. */
  readonly callTimeoutMs?: number;
  /** It is told each time that the connection is lost, or cannot be made. */
  readonly onError?: (error: Error) => void;
}

/**
 * A flush prepares the schema (6 s), and runs at most two transactions (11 s each): it is over by
 * then, also in the database, whose own limits are shorter.
 */
const SLOT_LIFE_MS = 30_000;
/** It is many questions long: who is slow for a moment keeps the place. */
const PLACE_LIFE_MS = 2_000;
/**
 * A reader would ask the store sooner, but a flush can wait: on a busy machine an answer may take
 * that long, and whoever does not wait for it goes on without a shared slot.
 */
const CALL_TIMEOUT_MS = 1_000;
/** Whose turn is next asks so often … */
const FIRST_POLL_MS = 10;
/** … and everybody at least so often. */
const LAST_POLL_MS = 250;
/** So many may be on their way back at a time; what is beyond that expires. */
const MAX_LEAVING = 1_000;

/** Begins to connect, and does not need the server to be up. */
export function createRedisFlushSlots(options: RedisFlushSlotsOptions): FlushSlots {
  const connection = new Connection({
    address: options,
    tracking: false,
    callTimeoutMs: options.callTimeoutMs ?? CALL_TIMEOUT_MS,
    onInvalidate: () => {},
    onError: options.onError ?? (() => {}),
    // What the cache does without is said by the cache; a slot needs none of it.
    onNotice: () => {},
  });
  connection.start();
  const { count, slotLifeMs = SLOT_LIFE_MS, placeLifeMs = PLACE_LIFE_MS } = options;
  const board = new RedisSlotBoard(connection, options.prefix, { count, slotLifeMs, placeLifeMs });
  const { waitMs } = options;
  const slots = new PolledSlots({ board, waitMs, clock: systemClock, random: Math.random });
  return {
    acquire: (store, signal) => slots.acquire(store, signal),
    async close() {
      await slots.close();
      await connection.close();
    },
  };
}

export interface PolledSlotsParts {
  readonly board: SlotBoard;
  readonly waitMs: number;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
}

export class PolledSlots implements FlushSlots {
  readonly #leaving = new Set<Promise<void>>();

  constructor(private readonly parts: PolledSlotsParts) {}

  async acquire(store: string, signal: AbortSignal): Promise<FlushSlot | undefined> {
    const { board, clock, waitMs } = this.parts;
    const asker = crypto.randomUUID();
    const untilMs = clock.monotonicMs() + waitMs;
    let isGranted = false;
    try {
      while (!signal.aborted) {
        const ahead = await board.ask(store, asker);
        isGranted = ahead === GRANTED && !signal.aborted;
        if (isGranted) return this.#slot(store, asker);
        const leftMs = untilMs - clock.monotonicMs();
        if (leftMs <= 0) return undefined;
        await this.#pause(Math.min(leftMs, this.#pollMs(ahead)), signal);
      }
      return undefined;
    } finally {
      // A question whose answer is late may have been granted all the same.
      if (!isGranted) this.#leave(store, asker);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#leaving);
  }

  #slot(store: string, asker: string): FlushSlot {
    let isHeld = true;
    return {
      release: () => {
        if (isHeld) this.#leave(store, asker);
        isHeld = false;
      },
    };
  }

  /** What cannot be given back expires by itself. */
  #leave(store: string, asker: string): void {
    if (this.#leaving.size >= MAX_LEAVING) return;
    const leaving: Promise<void> = this.parts.board.leave(store, asker).catch(() => {})
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  /** Those who come together do not stay in step. */
  #pollMs(ahead: number): number {
    const mostMs = Math.min(LAST_POLL_MS, FIRST_POLL_MS * (1 + ahead));
    return mostMs * (0.5 + this.parts.random() / 2);
  }

  #pause(forMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const cancel = this.parts.clock.setTimeout(end, forMs);
      signal.addEventListener("abort", end);
    });
  }
}
