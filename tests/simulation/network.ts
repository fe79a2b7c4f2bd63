/**
 * The way to a server and back: it takes time, it loses requests, and it loses answers to what was
 * done.
 */
import { DeadlineError } from "../../src/deadline.ts";
import type { Process, World } from "./world.ts";

interface ServerFaults {
  /** Connections are refused; what is under way there is undone. */
  down: boolean;
  /** Connections are accepted, nothing is ever answered. */
  blackHole: boolean;
  /** Work takes seconds: callers give up, and it is done all the same. */
  slow: boolean;
  /** Of each call: the connection is cut before it was carried out, and after. */
  cutBefore: number;
  cutAfter: number;
}

export class SimulatedServer {
  readonly faults: ServerFaults = {
    down: false,
    blackHole: false,
    slow: false,
    cutBefore: 0,
    cutAfter: 0,
  };
  /** When a caller was last let down. */
  lastFaultMs = -Infinity;
  /** A connection is a queue: when the last request of each process is carried out. */
  readonly #busyUntilMs = new WeakMap<Process, number>();

  constructor(
    protected readonly world: World,
    private readonly name: string,
    private readonly typicalMs: number,
    private readonly deadlineMs: number,
    /** Requests of a process share one connection, and so are carried out in order. */
    private readonly oneConnection = false,
  ) {}

  /** `work` is carried out at one moment, whether or not the caller still lives or waits then. */
  protected call<T>(process: Process, what: string, work: () => T): Promise<T> {
    const { random } = this.world;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const arriveMs = this.oneConnection
      ? 0.1 * this.typicalMs
      : random.between(0.1, 0.5) * this.typicalMs;
    const workMs = this.#workMs(process, arriveMs);
    const settle = (action: () => void) => process.alive && action();
    const fail = (fault: string) => {
      this.lastFaultMs = this.world.nowMs;
      this.world.fault(`${this.name} ${fault}`);
      settle(() => reject(new Error(`${this.name}: ${fault}`)));
    };
    const cancelDeadline = this.world.after(this.deadlineMs, `${this.name} deadline`, () => {
      this.lastFaultMs = this.world.nowMs;
      if (process.alive) this.world.fault(`${this.name} deadline`);
      settle(() => reject(new DeadlineError(`${this.name}: no answer`)));
    });
    this.world.after(arriveMs, `${this.name} ${what}`, () => {
      if (this.faults.blackHole) return this.world.fault(`${this.name} black hole`);
      if (this.faults.down || random.chance(this.faults.cutBefore)) {
        cancelDeadline();
        return fail(this.faults.down ? "refused" : "cut before");
      }
      this.world.after(workMs, `${this.name} does ${what}`, () => {
        if (this.faults.down) {
          cancelDeadline();
          return fail("died at work");
        }
        let outcome: () => void;
        try {
          const result = work();
          outcome = () => resolve(result);
        } catch (error) {
          outcome = () => reject(error);
        }
        if (random.chance(this.faults.cutAfter)) {
          cancelDeadline();
          return fail("cut after");
        }
        if (this.faults.blackHole) return this.world.fault(`${this.name} black hole`);
        this.world.after(arriveMs, `${this.name} answers ${what}`, () => {
          cancelDeadline();
          settle(outcome);
        });
      });
    });
    return promise;
  }

  #workMs(process: Process, arriveMs: number): number {
    const { random, nowMs } = this.world;
    const workMs = this.faults.slow && random.chance(0.5)
      ? random.between(0.5, 2.5) * this.deadlineMs
      : random.between(0.2, 3) * this.typicalMs;
    if (!this.oneConnection) return workMs;
    const arrivesMs = nowMs + arriveMs;
    const startsMs = Math.max(arrivesMs, this.#busyUntilMs.get(process) ?? 0);
    this.#busyUntilMs.set(process, startsMs + workMs);
    return startsMs + workMs - arrivesMs;
  }
}
