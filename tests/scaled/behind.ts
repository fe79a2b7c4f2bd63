/**
 * Clients write at one instance and read at others while something happens to Redis: how far
 * behind an acknowledgement answers are, and whether an instance's answers ever go back.
 */
import assert from "node:assert/strict";
import { Dsproxy } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";
import { Random } from "../support/random.ts";
import { startRedis } from "../support/redis.ts";
import { type RawClient, RedisTest } from "../support/redis_caches.ts";
import { delay } from "../support/services.ts";
import { type EngineName, ENGINES } from "./engines.ts";

const INSTANCES = 3;
const READERS_EACH = 3;
/** Nothing is outdated for good: within this time everybody sees the last of all. */
const SETTLED_WITHIN_MS = 10_000;

export interface Trouble {
  readonly name: string;
  /** It is made again and again, each time after this many milliseconds. */
  readonly everyMs: number;
  readonly make: (redis: RawClient) => Promise<unknown>;
}

/** Clients write as fast as it goes, or each user once in some 160 ms: then flushes are rare. */
export type Writers = "many" | "few";

export interface Behind {
  /** The oldest answer lacked a write that was acknowledged so long before it was asked for. */
  readonly worstMs: number;
  readonly reads: number;
}

interface Acknowledged {
  readonly version: number;
  readonly atMs: number;
}

/** Knows what was acknowledged when, and what each instance has answered. */
class Watch {
  reads = 0;
  worstMs = 0;
  readonly #acknowledged = new Map<string, Acknowledged[]>();
  readonly #answered = new Map<string, number>();

  acknowledged(user: string, version: number): void {
    const all = this.#acknowledged.get(user) ?? [];
    all.push({ version, atMs: performance.now() });
    this.#acknowledged.set(user, all);
  }

  /** Begins a read; returns what judges its answer. */
  begin(instance: number, user: string): (version: number) => void {
    const begunMs = performance.now();
    const place = `${instance} ${user}`;
    const before = this.#answered.get(place) ?? 0;
    return (version) => {
      this.reads++;
      const missed = this.#acknowledged.get(user)?.find((write) => write.version > version);
      this.worstMs = Math.max(this.worstMs, begunMs - (missed?.atMs ?? begunMs));
      assert.ok(
        version >= before,
        `instance ${instance}: ${user} was ${before}, and is ${version}`,
      );
      this.#answered.set(place, Math.max(version, this.#answered.get(place) ?? 0));
    };
  }
}

async function writeAll(
  instances: readonly Dsproxy[],
  writers: Writers,
  watch: Watch,
  untilMs: number,
): Promise<void> {
  const random = new Random(11);
  const users = writers === "many" ? 30 : 3;
  for (let version = 1; performance.now() < untilMs; version++) {
    await Promise.all(Array.from({ length: users }, async (_, i) => {
      if (writers === "few") await delay(80);
      if (random.chance(0.5)) return;
      await instances[i % INSTANCES]!.accept({ user_id: `u${i}`, value: String(version) });
      watch.acknowledged(`u${i}`, version);
    }));
  }
}

async function readAll(
  instances: readonly Dsproxy[],
  writers: Writers,
  watch: Watch,
  untilMs: number,
): Promise<void> {
  const users = writers === "many" ? 30 : 3;
  const reader = async (index: number) => {
    const random = new Random(index);
    const instance = index % INSTANCES;
    while (performance.now() < untilMs) {
      const user = `u${random.below(users)}`;
      const judge = watch.begin(instance, user);
      const { status, value } = await instances[instance]!.read(user);
      // A busy machine may keep the store from answering in time.
      if (status === 503) continue;
      assert.ok(status === 200 || status === 404, `${status} ${value}`);
      judge(status === 404 ? 0 : Number(value));
    }
  };
  await Promise.all(Array.from({ length: INSTANCES * READERS_EACH }, (_, i) => reader(i)));
}

/**
 * Runs three instances for so long. @throws AssertionError where answers of one instance went back,
 * or the last write of all is not seen by everybody in the end
 */
export async function measureBehind(
  { trouble, writers, engine, lastsMs }: {
    readonly trouble: Trouble | undefined;
    readonly writers: Writers;
    readonly engine?: EngineName | undefined;
    readonly lastsMs: number;
  },
): Promise<Behind> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const database = await createDatabase();
  stack.defer(() => database.drop());
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-across-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const client = await stack.use(new RedisTest(redis, "7")).raw();
  const broker = engine && stack.use(await ENGINES[engine]());
  const instances = await Promise.all(Array.from({ length: INSTANCES }, async (_, i) =>
    stack.use(
      await Dsproxy.start({
        DATA_DIR: `${folder}/${i}`,
        DATABASE_URL: database.url,
        REDIS_URL: redis.url,
        ...broker?.settings,
      }),
    )));
  const watch = new Watch();
  const untilMs = performance.now() + lastsMs;
  const makeTrouble = async () => {
    while (trouble !== undefined && performance.now() < untilMs) {
      await delay(trouble.everyMs);
      await trouble.make(client);
    }
  };
  await Promise.all([
    writeAll(instances, writers, watch, untilMs),
    readAll(instances, writers, watch, untilMs),
    makeTrouble(),
  ]);
  const { worstMs, reads } = watch;
  const settledMs = performance.now() + SETTLED_WITHIN_MS;
  do {
    watch.worstMs = 0;
    await readAll(instances, writers, watch, performance.now() + 500);
  } while (watch.worstMs > 0 && performance.now() < settledMs);
  assert.equal(watch.worstMs, 0, "somebody does not see the last write");
  for (const instance of instances) await instance.stop();
  return { worstMs, reads };
}

export function cutAll(everyMs: number): Trouble {
  return {
    name: "all connections to Redis cut",
    everyMs,
    make: (redis) => redis.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
  };
}

export function emptied(everyMs: number): Trouble {
  return { name: "Redis emptied", everyMs, make: (redis) => redis.flushAll() };
}

/** Once it has some of the users' copies, there is room for no more. */
export const FULL: Trouble = {
  name: "Redis full, and evicting what was just written",
  everyMs: 300,
  make: async (redis) => {
    const { maxmemory } = await redis.configGet("maxmemory");
    if (maxmemory !== "0") return;
    await redis.configSet("maxmemory-policy", "allkeys-random");
    const used = Number(/used_memory:(\d+)/.exec(await redis.info("memory"))![1]);
    await redis.configSet("maxmemory", String(used));
  },
};
