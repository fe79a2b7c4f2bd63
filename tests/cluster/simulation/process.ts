/**
 * One process of the simulated cluster, as its code sees the world: it can be stopped and go on
 * (its clock goes on meanwhile), asleep with its whole machine (its clock does not), and killed.
 * What came meanwhile comes then, in any order.
 */
import type { Clock } from "../../../src/ports/clock.ts";
import type { World } from "../../simulation/world.ts";

/** No timer is more exact. */
const TICK_MS = 0.01;

export class SimulatedProcess {
  alive = true;
  /** The ways to these are cut: what is sent is lost, or comes when they are mended. */
  readonly cut = { keeper: false, store: false };
  /** Its machine was asleep last until then, in milliseconds of the world. */
  wokeAtMs = -Infinity;
  #stopped = false;
  #asleepMs = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(private readonly world: World, readonly name: string) {}

  get monotonicMs(): number {
    return this.world.nowMs - this.#asleepMs;
  }

  get runs(): boolean {
    return this.alive && !this.#stopped;
  }

  /** Lets its code see something, once it runs. */
  deliver(run: () => void): void {
    if (!this.alive) return;
    if (this.#stopped) this.#waiting.push(run);
    else run();
  }

  async stopFor(forMs: number, how: "stopped" | "asleep"): Promise<void> {
    if (!this.runs) return;
    this.#stopped = true;
    await this.world.delay(forMs, `${this.name} goes on`);
    this.#stopped = false;
    if (how === "asleep") {
      this.#asleepMs += forMs;
      this.wokeAtMs = this.world.nowMs;
    }
    while (this.#waiting.length > 0) {
      const [run] = this.#waiting.splice(this.world.random.below(this.#waiting.length), 1);
      this.world.after(0, "late", () => this.deliver(run!));
    }
  }

  /** @param wallMs what the clock on the wall shows, which anybody may set */
  clock(wallMs: () => number): Pick<Clock, "now" | "monotonicMs" | "setTimeout"> {
    return {
      now: wallMs,
      monotonicMs: () => this.monotonicMs,
      setTimeout: (callback, delayMs) => this.#after(delayMs, callback),
    };
  }

  #after(delayMs: number, callback: () => void): () => void {
    const dueMs = this.monotonicMs + delayMs;
    let isCancelled = false;
    const wait = () => {
      // A machine that was asleep has its timers later by that. Sums of times are not exact.
      this.world.after(
        Math.max(TICK_MS, dueMs - this.monotonicMs),
        "timer",
        () =>
          this.deliver(() => {
            if (isCancelled) return;
            if (this.monotonicMs < dueMs) wait();
            else callback();
          }),
      );
    };
    wait();
    return () => isCancelled = true;
  }
}

export interface Ways {
  /** Nothing more is lost or late of its own accord. */
  readonly areCalm: boolean;
}

/** Between a process and a server: what is sent may be late, very late, or lost, either way. */
export class SimulatedWay {
  constructor(
    private readonly world: World,
    private readonly ways: Ways,
    private readonly process: SimulatedProcess,
    private readonly to: "keeper" | "store",
  ) {}

  /** @param work is done at the server, and may take its time */
  call<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#pass(`${what} of ${this.process.name}`, async () => {
        try {
          const value = await work();
          this.#pass(`answer to ${what}`, () => this.process.deliver(() => resolve(value)));
        } catch (error) {
          this.#pass(`refusal of ${what}`, () => this.process.deliver(() => reject(error)));
        }
      });
    });
  }

  #pass(what: string, arrive: () => void): void {
    const { random } = this.world;
    const isCut = this.process.cut[this.to];
    const isCalm = this.ways.areCalm && !isCut;
    if (!isCalm && random.chance(isCut ? 0.5 : 0.02)) return this.world.fault("lost on its way");
    const isLate = !isCalm && (isCut || random.chance(0.03));
    if (isLate) this.world.fault("late on its way");
    this.world.after(isLate ? random.between(100, 15_000) : random.between(0.1, 40), what, arrive);
  }
}
