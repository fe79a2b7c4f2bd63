/** Keeps the simulated lease as Redis and PostgreSQL do, by a clock that can be set. */
import type { Lease, LeaseHolder } from "../../../src/ports/lease.ts";
import type { World } from "../../simulation/world.ts";
import { type SimulatedProcess, SimulatedWay, type Ways } from "./process.ts";
import type { LeaseBug } from "./simulation.ts";

interface Held extends LeaseHolder {
  readonly renewedMs: number;
  readonly lifeMs: number;
}

export class SimulatedKeeper {
  #held: Held | undefined;
  #offsetMs = 0;
  /** It was emptied or its clock was set last then, in milliseconds of the world. */
  disturbedMs = -Infinity;
  /** Each instance took or prolonged it last then, in milliseconds of the world. */
  readonly heldMs = new Map<string, number>();

  constructor(
    private readonly world: World,
    private readonly bug: LeaseBug | undefined,
    private readonly ways: Ways,
  ) {}

  get nowMs(): number {
    return this.world.nowMs + this.#offsetMs;
  }

  /** Which instance has it now; undefined where it is over. */
  get instance(): string | undefined {
    return this.#isOver || this.#held === undefined ? undefined : instanceOf(this.#held.holder);
  }

  empty(): void {
    this.#held = undefined;
    this.disturbedMs = this.world.nowMs;
  }

  setClock(byMs: number): void {
    this.#offsetMs += byMs;
    this.disturbedMs = this.world.nowMs;
  }

  client(process: SimulatedProcess): Lease {
    const way = new SimulatedWay(this.world, this.ways, process, "keeper");
    return {
      hold: (holder, lifeMs) => way.call("hold", () => this.#hold(holder, lifeMs)),
      release: (holder) => way.call("release", () => this.#release(holder)),
      close: () => Promise.resolve(),
    };
  }

  get #isOver(): boolean {
    const held = this.#held;
    return held === undefined || held.renewedMs > this.nowMs ||
      held.renewedMs + held.lifeMs <= this.nowMs;
  }

  #hold(holder: string, lifeMs: number): LeaseHolder {
    const held = this.#held;
    if (held !== undefined && held.holder !== holder && !this.#isOver) return held;
    const sinceMs = held?.holder === holder && !this.#isOver ? held.sinceMs : this.nowMs;
    this.heldMs.set(instanceOf(holder), this.world.nowMs);
    this.world.trace(`${holder} has the lease`);
    return this.#held = { holder, sinceMs, renewedMs: this.nowMs, lifeMs } as Held;
  }

  #release(holder: string): void {
    if (this.#held?.holder !== holder && this.bug !== "release-of-anothers-lease") return;
    this.#held = undefined;
  }
}

/** An instance that has given the lease back asks for it by another word. */
function instanceOf(holder: string): string {
  return holder.replace(/#.*/, "");
}
