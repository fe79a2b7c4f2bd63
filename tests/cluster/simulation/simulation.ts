/**
 * Several instances that may lead, in a world of one seed that stops, suspends, kills and cuts them
 * off, empties who keeps the lease, and sets its clock. What must hold:
 *
 * 1. In the order of commits no term comes after a later one, whatever happens.
 * 2. No step is begun while another has the lease, unless who keeps it was emptied or its clock was
 *    set, or the machine was asleep, since the lease was prolonged.
 * 3. Once nothing happens any more somebody leads within a few lives.
 */
import { Leadership } from "../../../src/cluster/leadership.ts";
import type { Duty } from "../../../src/cluster/duty.ts";
import type { Lease } from "../../../src/ports/lease.ts";
import type { Term } from "../../../src/ports/terms.ts";
import { Log } from "../../../src/telemetry/log.ts";
import { Violation, World } from "../../simulation/world.ts";
import { idleMetrics } from "../../support/fakes.ts";
import { SimulatedKeeper } from "./keeper.ts";
import { SimulatedProcess } from "./process.ts";
import { SimulatedTermStore } from "./store.ts";

/** Mistakes that leases are known for, each made on purpose, to show that it would be found. */
export const LEASE_BUGS = [
  "stale-term-accepted",
  "renewed-by-own-clock",
  "release-of-anothers-lease",
] as const;

export type LeaseBug = typeof LEASE_BUGS[number];

const LIFE_MS = 10_000;
const INSTANCES = 3;
const STORMY_MS = 140_000;
const LONGEST_FAULT_MS = 2.5 * LIFE_MS;
/** Somebody leads within so long after the last fault … */
const LEADS_WITHIN_MS = 5 * LIFE_MS;
/** … and what failed until then is tried again within a minute. */
const CALM_MS = LEADS_WITHIN_MS + 70_000;
const FAULT_MS = { min: 0, max: 4_000 };
const HOUR_MS = 3_600_000;

export interface LeaseOutcome {
  readonly seed: number;
  readonly violation: string | undefined;
  readonly terms: number;
  readonly commits: number;
  readonly refused: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly traceHash: number;
}

export async function simulateLeases(
  seed: number,
  bug?: LeaseBug,
  onTrace?: (line: string) => void,
): Promise<LeaseOutcome> {
  const world = new World(seed, onTrace);
  const cluster = new Cluster(world, bug);
  let violation: string | undefined;
  try {
    await cluster.live();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error.message;
  }
  const { term: terms, commits, refused } = cluster.store;
  const { faults, traceHash } = world;
  return { seed, violation, terms, commits, refused, faults, traceHash };
}

interface Member {
  readonly process: SimulatedProcess;
  readonly leadership: Leadership;
}

class Cluster {
  readonly store: SimulatedTermStore;
  readonly #keeper: SimulatedKeeper;
  readonly #members: Member[] = [];
  readonly ways = { areCalm: false };
  #starts = 0;
  #isCalm = false;

  constructor(private readonly world: World, private readonly bug: LeaseBug | undefined) {
    this.store = new SimulatedTermStore(world, bug, this.ways);
    this.#keeper = new SimulatedKeeper(world, bug, this.ways);
    for (let i = 0; i < INSTANCES; i++) this.#members.push(this.#start());
  }

  async live(): Promise<void> {
    const { world } = this;
    this.#scheduleFault();
    let isOver = false;
    // What is under way still ends: ways are mended, who was stopped goes on.
    world.after(STORMY_MS - LONGEST_FAULT_MS, "no more faults", () => this.#isCalm = true);
    world.after(STORMY_MS, "the storm is over", () => this.ways.areCalm = true);
    world.after(STORMY_MS + LEADS_WITHIN_MS, "somebody leads", () => {
      if (this.#members.some(({ leadership }) => leadership.leads)) return;
      world.violated(`nobody leads ${LEADS_WITHIN_MS} ms after the last fault`);
    });
    world.after(STORMY_MS + CALM_MS, "the end", () => {
      isOver = true;
      if (this.store.lastCommitMs < STORMY_MS) world.violated("a leader does nothing");
    });
    while (!isOver) await world.step();
  }

  #start(): Member {
    const { world } = this;
    const process = new SimulatedProcess(world, `instance/${++this.#starts}`);
    const plain = process.clock(() => this.#keeper.nowMs);
    const { lease, clock } = this.bug === "renewed-by-own-clock"
      ? countedFromAnswer(this.#keeper.client(process), plain)
      : { lease: this.#keeper.client(process), clock: plain };
    const leadership = new Leadership({
      ...{ lease, clock },
      terms: this.store.client(process),
      duties: [this.#duty(process)],
      name: () => process.name,
      random: world.random.next,
      log: new Log("info", "json", (line) => world.trace(`${process.name} ${messageOf(line)}`)),
      metrics: idleMetrics(),
      lifeMs: LIFE_MS,
    });
    leadership.start();
    return { process, leadership };
  }

  #duty(process: SimulatedProcess): Duty {
    return {
      name: "commit",
      intervalMs: 300,
      run: async (term: Term) => {
        this.#checkLease(process);
        // A step is more than one transaction, so that some are begun by who leads no more.
        for (let i = 0; i < 3; i++) await this.store.commit(process, term);
      },
    };
  }

  #checkLease({ name, wokeAtMs }: SimulatedProcess): void {
    const { instance: holder, disturbedMs, heldMs } = this.#keeper;
    if (holder === undefined || holder === name) return;
    if (Math.max(disturbedMs, wokeAtMs) >= (heldMs.get(name) ?? -Infinity)) return;
    this.world.violated(`${name} does a duty while ${holder} has the lease`);
  }

  #scheduleFault(): void {
    const { random } = this.world;
    this.world.after(random.between(FAULT_MS.min, FAULT_MS.max), "weather", () => {
      if (this.#isCalm) return;
      void random.pick(this.#weather)();
      this.#scheduleFault();
    });
  }

  readonly #weather: readonly (() => void | Promise<void>)[] = [
    () => this.#pause("stopped"),
    () => this.#pause("stopped"),
    () => this.#pause("asleep"),
    () => this.#cut("keeper"),
    () => this.#cut("store"),
    () => this.#end("killed"),
    () => this.#end("told to stop"),
    () => {
      this.world.fault("the lease's keeper was emptied");
      this.#keeper.empty();
    },
    () => {
      this.world.fault("the keeper's clock was set");
      const { random } = this.world;
      this.#keeper.setClock(random.pick([-HOUR_MS, HOUR_MS, random.between(-9_000, 9_000)]));
    },
  ];

  /** A fault is more likely to meet who leads, whom it matters to. */
  #victim(): number {
    const { random } = this.world;
    const leader = this.#members.findIndex(({ leadership }) => leadership.leads);
    return leader >= 0 && random.chance(0.6) ? leader : random.below(INSTANCES);
  }

  async #pause(how: "stopped" | "asleep"): Promise<void> {
    this.world.fault(`a process was ${how}`);
    await this.#members[this.#victim()]!.process.stopFor(this.#forMs(), how);
  }

  async #cut(from: "keeper" | "store"): Promise<void> {
    this.world.fault(`a way to the ${from} was cut`);
    const { cut } = this.#members[this.#victim()]!.process;
    cut[from] = true;
    await this.world.delay(this.#forMs(), "mended");
    cut[from] = false;
  }

  #end(how: "killed" | "told to stop"): void {
    this.world.fault(`a process was ${how}`);
    const at = this.#victim();
    const { process, leadership } = this.#members[at]!;
    if (how === "killed") process.alive = false;
    else void leadership.stop();
    this.#members[at] = this.#start();
  }

  #forMs(): number {
    return this.world.random.between(500, LONGEST_FAULT_MS);
  }
}

/**
 * As if the end were counted from the answer: each answer puts the clock that it is counted by back
 * to when it was asked.
 */
function countedFromAnswer(
  lease: Lease,
  clock: ReturnType<SimulatedProcess["clock"]>,
): { lease: Lease; clock: typeof clock } {
  let behindMs = 0;
  return {
    clock: { ...clock, monotonicMs: () => clock.monotonicMs() - behindMs },
    lease: {
      ...lease,
      hold: async (holder, lifeMs) => {
        const askedMs = clock.monotonicMs();
        const found = await lease.hold(holder, lifeMs);
        behindMs += clock.monotonicMs() - askedMs;
        return found;
      },
    },
  };
}

function messageOf(line: string): string {
  const { message, reason = "" } = JSON.parse(line) as { message: string; reason?: string };
  return `${message} ${reason}`;
}
