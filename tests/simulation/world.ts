/**
 * Time, chance and the order of events, all from one seed. Nothing in a simulation happens but by
 * an event of this world.
 */
import { setImmediate } from "node:timers";
import type { Clock } from "../../src/ports/clock.ts";
import { Random } from "../support/random.ts";

/** A run of the program. What belongs to one that has ended does not happen any more. */
export interface Process {
  alive: boolean;
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly what: string;
  readonly run: () => void;
}

/** An invariant was broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** A time-out that no sane run comes near: the simulated program is stuck in a loop. */
const EVENTS_MAX = 200_000;

export class World {
  readonly random: Random;
  /** Since the beginning of the simulation; never goes back. */
  nowMs = 0;
  /** How often each fault was really injected. */
  readonly faults = new Map<string, number>();
  readonly #events: Event[] = [];
  #order = 0;
  #violation: Violation | undefined;
  #traceHash = 0x811c9dc5;

  /** @param onTrace told of every event, for a person who replays a seed */
  constructor(readonly seed: number, private readonly onTrace?: (line: string) => void) {
    this.random = new Random(seed);
  }

  /** Schedules `run`; returns what cancels it. */
  after(delayMs: number, what: string, run: () => void): () => void {
    const event = { atMs: this.nowMs + delayMs, order: this.#order++, what, run };
    let at = this.#events.length;
    while (at > 0 && this.#events[at - 1]!.atMs <= event.atMs) at--;
    // Latest first; of two at the same time the one scheduled first is nearer the end, and runs
    // first.
    this.#events.splice(at, 0, event);
    return () => {
      const index = this.#events.indexOf(event);
      if (index >= 0) this.#events.splice(index, 1);
    };
  }

  /** Lets the next event happen, and everything that follows from it at once. @throws Violation */
  async step(): Promise<void> {
    const event = this.#events.pop();
    if (event === undefined) throw new Violation("nothing is left to happen");
    if (event.order > EVENTS_MAX) throw new Violation("the simulation does not come to an end");
    this.nowMs = event.atMs;
    this.trace(event.what);
    event.run();
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.#violation !== undefined) throw this.#violation;
  }

  trace(what: string): void {
    for (let i = 0; i < what.length; i++) {
      this.#traceHash = Math.imul(this.#traceHash ^ what.charCodeAt(i), 0x01000193);
    }
    this.#traceHash = Math.imul(this.#traceHash ^ (this.nowMs * 1000), 0x01000193);
    this.onTrace?.(`${this.nowMs.toFixed(3).padStart(12)} ${what}`);
  }

  /** The same for two runs in which the same happened at the same times. */
  get traceHash(): number {
    return this.#traceHash >>> 0;
  }

  /** Counts a fault that was injected. */
  fault(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
    this.trace(`fault: ${kind}`);
  }

  /** Reports a broken invariant; the simulation ends with the first. */
  violated(message: string): void {
    this.trace(`violated: ${message}`);
    this.#violation ??= new Violation(message);
  }

  delay(delayMs: number, what: string): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, what, resolve));
  }
}

/** The clock of a process: timers by simulated time, the date by a wall clock that can be set. */
export class SimulatedClock implements Clock {
  constructor(
    private readonly world: World,
    private readonly process: Process,
    private readonly wallOffsetMs: () => number,
  ) {}

  now(): number {
    return Math.floor(this.world.nowMs + this.wallOffsetMs());
  }

  monotonicMs(): number {
    return this.world.nowMs;
  }

  setTimeout(callback: () => void, delayMs: number): () => void {
    return this.world.after(delayMs, "timer", () => this.process.alive && callback());
  }

  turn(): Promise<void> {
    return new Promise((resolve) => this.setTimeout(resolve, 0));
  }

  setInterval(callback: () => void, intervalMs: number): () => void {
    let cancel = () => {};
    const next = () => {
      cancel = this.setTimeout(() => {
        next();
        callback();
      }, intervalMs);
    };
    next();
    return () => cancel();
  }
}
