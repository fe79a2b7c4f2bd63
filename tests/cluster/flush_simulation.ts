/**
 * Simulates instances that flush to one database, in virtual time and from one seed. The database
 * is like one disk: it does so many rows a second for all flushes together, shared alike among
 * those under way, and a little fewer for each further one (seeks, locks, a smaller share of the
 * cache). What a flush did until its deadline is lost, as a transaction is rolled back. An instance
 * does as `StoreSink` does: it halves what it sends after a failure, doubles it after a success,
 * and backs off.
 */
import { PolledSlots } from "../../src/adapters/redis/flush_slots.ts";
import { Backoff } from "../../src/backoff.ts";
import { SimulatedSlotBoard } from "../simulation/slot_board.ts";
import { type Process, SimulatedClock, World } from "../simulation/world.ts";

export interface FlushSimulation {
  readonly seed: number;
  readonly instances: number;
  /** No slots at all where it is left out. */
  readonly slots?: number;
  /** Each instance has so many rows to bring. */
  readonly rows: number;
  /** It ends then, whatever is left. */
  readonly limitMs: number;
  /** Somebody is killed about so often, and comes back after a while. */
  readonly killEveryMs?: number;
  /** The board is emptied at these times. */
  readonly emptiedAtMs?: readonly number[];
}

export interface FlushReport {
  readonly tookMs: number;
  readonly stored: number;
  readonly flushes: number;
  readonly failed: number;
  readonly killed: number;
  /** So many were under way at most … */
  readonly most: number;
  /** … and so many at most of those that began after the board was last emptied. */
  readonly mostSinceEmptied: number;
  /** The longest that anybody waited for a slot. */
  readonly longestWaitMs: number;
  /** The rows that each instance had brought when half of all were stored. */
  readonly halfway: readonly number[];
  readonly traceHash: number;
}

const STORE = "one";
export const DISK_ROWS_A_SECOND = 10_000;
/** With fifty at a time it does 10,000 / (1 + 49 × 0.02), about half of its rows. */
const LOST_BY_EACH = 0.02;
const MOST_ROWS = 5_000;
/** As a transaction's statement is ended by the server. */
export const DEADLINE_MS = 10_000;
export const LIVES = { slotLifeMs: 30_000, placeLifeMs: 2_000 };
const AWAY_MS = { from: 100, to: 5_000 };
/** The disk is looked at so often. */
const TICK_MS = 10;

interface Flush {
  readonly rows: number;
  readonly untilMs: number;
  readonly beganMs: number;
  left: number;
  readonly end: (isStored: boolean) => void;
}

/** Runs one simulation to its end. */
export function simulateFlushes(options: FlushSimulation): Promise<FlushReport> {
  return new Simulation(options).run();
}

class Simulation {
  readonly #world: World;
  readonly #board: SimulatedSlotBoard;
  readonly #flushes = new Set<Flush>();
  readonly #left: number[];
  #counts = { flushes: 0, failed: 0, killed: 0, most: 0, mostSinceEmptied: 0, longestWaitMs: 0 };
  #emptiedMs = -1;
  #halfway: readonly number[] = [];

  constructor(private readonly options: FlushSimulation) {
    this.#world = new World(options.seed);
    this.#board = new SimulatedSlotBoard(
      { ...LIVES, count: options.slots ?? 1 },
      () => this.#world.nowMs,
    );
    this.#left = Array.from({ length: options.instances }, () => options.rows);
  }

  async run(): Promise<FlushReport> {
    const { instances, rows, limitMs, emptiedAtMs = [] } = this.options;
    for (let i = 0; i < instances; i++) this.#start(i);
    this.#tick();
    for (const atMs of emptiedAtMs) this.#world.after(atMs, "emptied", () => this.#empty());
    while (this.#world.nowMs < limitMs && this.#stored < instances * rows) await this.#world.step();
    return {
      ...this.#counts,
      tookMs: this.#world.nowMs,
      stored: this.#stored,
      halfway: this.#halfway,
      traceHash: this.#world.traceHash,
    };
  }

  get #stored(): number {
    return this.options.instances * this.options.rows - this.#left.reduce((sum, n) => sum + n, 0);
  }

  #empty(): void {
    this.#board.empty();
    this.#emptiedMs = this.#world.nowMs;
  }

  #start(i: number): void {
    const process = { alive: true };
    void this.#live(i, process);
    const { killEveryMs } = this.options;
    if (killEveryMs === undefined) return;
    const { random } = this.#world;
    const livesMs = killEveryMs * this.options.instances * (0.5 + random.next());
    this.#world.after(livesMs, `kill ${i}`, () => {
      process.alive = false;
      this.#counts.killed++;
      this.#world.after(random.between(AWAY_MS.from, AWAY_MS.to), "back", () => this.#start(i));
    });
  }

  /** Once it was killed none of its timers fires, and what it waits for never comes. */
  async #live(i: number, process: Process): Promise<void> {
    const world = this.#world;
    const clock = new SimulatedClock(world, process, () => 0);
    const random = () => world.random.next();
    const slots = new PolledSlots({ board: this.#board, waitMs: 60_000, clock, random });
    const backoff = new Backoff({ firstMs: 200, maxMs: 5_000, random });
    let size = MOST_ROWS;
    while (this.#left[i]! > 0) {
      const askedMs = world.nowMs;
      const slot = this.options.slots === undefined
        ? undefined
        : await slots.acquire(STORE, new AbortController().signal);
      this.#counts.longestWaitMs = Math.max(this.#counts.longestWaitMs, world.nowMs - askedMs);
      const rows = Math.min(size, this.#left[i]!);
      const isStored = await this.#flush(i, rows, process);
      slot?.release();
      size = isStored ? Math.min(MOST_ROWS, size * 2) : Math.max(1, rows >> 1);
      if (isStored) backoff.reset();
      else await new Promise<void>((resolve) => clock.setTimeout(resolve, backoff.nextMs()));
    }
  }

  /** A killed instance's goes on in the database, which does not know of it. */
  #flush(i: number, rows: number, process: Process): Promise<boolean> {
    const { nowMs } = this.#world;
    this.#counts.flushes++;
    return new Promise((resolve) => {
      const end = (isStored: boolean) => {
        if (isStored) this.#store(i, rows);
        else this.#counts.failed++;
        if (process.alive) resolve(isStored);
      };
      this.#flushes.add({ rows, beganMs: nowMs, untilMs: nowMs + DEADLINE_MS, left: rows, end });
      this.#count();
    });
  }

  /** The mark of a source keeps out what two of its flushes have in common. */
  #store(i: number, rows: number): void {
    this.#left[i] = Math.max(0, this.#left[i]! - rows);
    const { instances, rows: each } = this.options;
    if (this.#halfway.length === 0 && this.#stored >= instances * each / 2) {
      this.#halfway = this.#left.map((left) => each - left);
    }
  }

  #count(): void {
    const later = [...this.#flushes].filter(({ beganMs }) => beganMs >= this.#emptiedMs).length;
    this.#counts.most = Math.max(this.#counts.most, this.#flushes.size);
    this.#counts.mostSinceEmptied = Math.max(this.#counts.mostSinceEmptied, later);
  }

  #tick(): void {
    this.#world.after(TICK_MS, "disk", () => {
      const { size } = this.#flushes;
      const share = DISK_ROWS_A_SECOND / (1 + LOST_BY_EACH * (size - 1)) / size * TICK_MS / 1_000;
      for (const flush of this.#flushes) {
        flush.left -= share;
        const isStored = flush.left <= 0;
        if (!isStored && flush.untilMs > this.#world.nowMs) continue;
        this.#flushes.delete(flush);
        flush.end(isStored);
      }
      this.#tick();
    });
  }
}
