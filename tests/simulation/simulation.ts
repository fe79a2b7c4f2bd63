/**
 * One run: the real journal, batcher, writer, reader, cache client and breakers on a simulated
 * disk, clock, database, cache and network, with clients, faults and chance from one seed.
 */
import type { AckLevel } from "../../src/domain.ts";
import { Adopter } from "./adopter.ts";
import { SimulatedBroker } from "./broker.ts";
import { type Bug, drawsTheSameNames } from "./bugs.ts";
import { SimulatedCache } from "./cache.ts";
import { SimulatedDisk } from "./disk.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { Machine } from "./machine.ts";
import { Model } from "./model.ts";
import type { Settings } from "./program.ts";
import { OtherInstance } from "./other_instance.ts";
import { REFUSED, SimulatedStore } from "./store.ts";
import { Weather } from "./weather.ts";
import { Worker } from "./worker.ts";
import { Violation, World } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  /** The invariant that broke; undefined when all held. */
  readonly violation: string | undefined;
  readonly traceHash: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly acknowledged: number;
  readonly reads: number;
  /** Writes that were answered so. */
  readonly replicated: number;
}

const ACTIVE_MS = 12_000;
/** After the last fault everything has to be stored within this time. */
const RECOVERY_LIMIT_MS = 60_000;
/**
 * What a broker lost that had confirmed it, and a store that had it already, is missed so much
 * later, if nothing comes after it.
 */
const STANDSTILL_MS = 10 * 60_000;
/** What is left beside damage is held back, as a broker may have it whole. */
const DOUBT_MS = 60_000;
/** Longer than any interval between flushes: what was there to be noticed has been. */
const QUIET_MS = 2_500;
const LAST_WRITE_AGAIN_MS = 300;
/** A journal of this size never needs room. */
const ENDLESS_BYTES = 16_000_000;
const USERS = ["ada", "bob", "eve", "ida"];
const ACKS: readonly AckLevel[] = ["accepted", "durable", "durable", "durable", "flushed"];
const TS = 1_767_225_600;

export async function simulate(
  seed: number,
  bug?: Bug,
  onTrace?: (line: string) => void,
): Promise<Outcome> {
  const world = new World(seed, onTrace);
  const restoreRandomness = takeRandomnessFrom(world, drawsTheSameNames(bug));
  const settings = settingsOf(world);
  const model = new Model(world, settings.journalBytes < ENDLESS_BYTES ? 0 : settings.retainMs);
  let violation: string | undefined;
  try {
    await run(world, model, settings, bug);
  } catch (error) {
    violation = error instanceof Violation ? error.message : `a defect: ${(error as Error).stack}`;
  } finally {
    restoreRandomness();
  }
  const { traceHash, faults } = world;
  return {
    seed,
    violation,
    traceHash,
    faults,
    acknowledged: model.acknowledged,
    reads: model.reads,
    replicated: model.replicated,
  };
}

async function run(
  world: World,
  model: Model,
  settings: Settings,
  bug: Bug | undefined,
): Promise<void> {
  const layout = layoutOf(world.seed);
  const store = new SimulatedStore(world, (row) => model.stored(row));
  const cache = new SimulatedCache(world, settings.cacheTtlMs);
  const broker = layout.broker &&
    new SimulatedBroker(world, layout.broker, model);
  const shared = { world, model, store, cache, broker, layout, bug };
  const machines = Array.from(
    { length: layout.machines },
    (_, machine) => new Machine({ ...shared, disk: new SimulatedDisk(world), machine }, settings),
  );
  const workers = broker === undefined ? [] : Array.from(
    { length: layout.broker!.workers },
    () => new Worker({ ...shared, broker }, settings),
  );
  const { adoption } = layout;
  const disks = machines.map(({ disk }) => disk);
  const { cacheTtlMs } = settings;
  const adopters = adoption === undefined ? [] : Array.from(
    { length: adoption.adopters },
    (_, number) => new Adopter({ ...shared, disks, layout: adoption, cacheTtlMs }, number),
  );
  let written = 0;
  const write = (machine: Machine) =>
    void machine.write(world.random.pick(USERS), `away${written++}:`, TS, "durable");
  const weather = new Weather({ ...shared, machines, workers, adopters, write }, ACTIVE_MS);
  weather.plan();
  planRequests(world, layout, machines);
  new OtherInstance({ world, store, cache }).begin();
  for (const process of [...machines, ...workers, ...adopters]) process.boot();
  const step = async () => {
    await world.step();
    for (const machine of machines) machine.check();
  };
  while (world.nowMs < ACTIVE_MS) await step();
  weather.clear();
  for (const machine of machines) writeOnceMore(world, machine);
  const startMs = world.nowMs;
  let quietSinceMs = startMs;
  const isMissed = broker !== undefined && (broker.hasLost || world.faults.has("store went back"));
  const isDoubted = broker !== undefined && world.faults.has("bit flipped");
  const limitMs = RECOVERY_LIMIT_MS + (isMissed ? STANDSTILL_MS : 0) + (isDoubted ? DOUBT_MS : 0);
  while (world.nowMs - quietSinceMs < QUIET_MS) {
    await step();
    if (!machines.every(({ idle }) => idle)) quietSinceMs = world.nowMs;
    if (world.nowMs > startMs + limitMs) {
      throw new Violation("the faults are over, and still not everything is stored");
    }
  }
  model.finished();
  for (const user of model.users) for (const machine of machines) void machine.read(user);
  for (const untilMs = world.nowMs + 10_000; world.nowMs < untilMs;) await step();
}

/** A store that went back unseen is noticed with the next batch. */
function writeOnceMore(world: World, machine: Machine): void {
  let count = 0;
  const write = () => {
    const value = `last${machine.number}.${count++}:`;
    void machine.write(USERS[0]!, value, TS, "durable").then((isAccepted) => {
      if (!isAccepted) world.after(LAST_WRITE_AGAIN_MS, "last write", write);
    });
  };
  write();
}

function settingsOf({ random }: World): Settings {
  const segmentBytes = random.pick([16_384, 65_536]);
  const batchSize = random.pick([1, 5, 50]);
  return {
    segmentBytes,
    journalBytes: segmentBytes * random.pick([4, 8, 1_000]),
    retainMs: random.pick([0, 2_000, 3_600_000]),
    batchSize,
    batchMax: Math.max(batchSize, random.pick([4, 20, 200])),
    batchIntervalMs: random.pick([50, 300, 2_000]),
    pendingBytes: random.pick([0, 500, 1_000_000]),
    cacheTtlMs: random.pick([1_000, 5_000, 300_000]),
    remembersAnswers: random.chance(0.5),
  };
}

/** Requests of several clients over the whole time, alone and in bursts. */
function planRequests(world: World, layout: Layout, machines: readonly Machine[]): void {
  const { random } = world;
  const asked = () => machines.length === 1 ? machines[0]! : random.pick(machines);
  const acks: readonly AckLevel[] = layout.broker === undefined ? ACKS : [...ACKS, "replicated"];
  const users = USERS.slice(0, 1 + random.below(USERS.length));
  const refusedShare = random.pick([0, 0, 0.1]);
  const longest = random.pick([10, 300, 4_000]);
  let count = 0;
  const write = () => {
    const refused = random.chance(refusedShare) ? REFUSED : "";
    const value = `${refused}w${count++}:${"x".repeat(random.below(longest))}`;
    const ack = random.pick(acks);
    void asked().write(random.pick(users), value, TS + random.below(5), ack);
  };
  const read = () => void asked().read(random.pick(users));
  const requests = random.pick([20, 60, 120]);
  for (let i = 0; i < requests; i++) {
    const burst = random.chance(0.1) ? random.below(20) : 1;
    world.after(random.between(0, ACTIVE_MS), "requests", () => {
      for (let j = 0; j < burst; j++) random.chance(0.5) ? write() : read();
    });
  }
}

/** Names and salts are drawn from the seed, too: a run must not depend on anything else. */
function takeRandomnessFrom(world: World, drawsTheSameNames: boolean): () => void {
  const original = crypto.getRandomValues;
  const simulated = <T extends ArrayBufferView | null>(array: T): T => {
    const { buffer, byteOffset, byteLength } = array!;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = world.random.below(256);
    // Names are drawn byte by byte.
    if (drawsTheSameNames && bytes.length === 1) bytes[0] = 0;
    return array;
  };
  const replace = (value: unknown) =>
    Object.defineProperty(crypto, "getRandomValues", { value, configurable: true });
  replace(simulated);
  return () => replace(original);
}
