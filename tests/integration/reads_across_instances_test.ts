/** What clients see that write at one instance and read at others, while Redis forgets and cuts. */
import assert from "node:assert/strict";
import { type EngineName, ENGINES } from "../scaled/engines.ts";
import { Dsproxy } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";
import { Random } from "../support/random.ts";
import { startRedis } from "../support/redis.ts";
import { type RawClient, RedisTest } from "../support/redis_caches.ts";
import { delay } from "../support/services.ts";

const INSTANCES = 3;
const USERS = 30;
const READERS_EACH = 3;
const LASTS_MS = 6_000;
/**
 * A second is promised; a machine that runs other tests beside this one takes longer. What was
 * outdated for good would be so until its copy expires, which takes minutes.
 */
const BEHIND_MS = 4_000;

interface Acknowledged {
  readonly version: number;
  readonly atMs: number;
}

/** Knows what was acknowledged when, and what each instance has answered. */
class Watch {
  reads = 0;
  readonly #acknowledged = new Map<string, Acknowledged[]>();
  readonly #answered = new Map<string, number>();

  acknowledged(user: string, version: number): void {
    const all = this.#acknowledged.get(user) ?? [];
    all.push({ version, atMs: performance.now() });
    this.#acknowledged.set(user, all);
  }

  /** Begins a read; returns what judges its answer. */
  begin(instance: number, user: string): (version: number) => void {
    const dueMs = performance.now() - BEHIND_MS;
    const due = this.#acknowledged.get(user)?.findLast(({ atMs }) => atMs <= dueMs)?.version ?? 0;
    const place = `${instance} ${user}`;
    const before = this.#answered.get(place) ?? 0;
    return (version) => {
      this.reads++;
      assert.ok(version >= due, `instance ${instance}: ${user} is ${version}, long after ${due}`);
      assert.ok(
        version >= before,
        `instance ${instance}: ${user} was ${before}, and is ${version}`,
      );
      this.#answered.set(place, Math.max(version, this.#answered.get(place) ?? 0));
    };
  }
}

async function writeAll(instances: readonly Dsproxy[], watch: Watch, untilMs: number) {
  const random = new Random(11);
  for (let version = 1; performance.now() < untilMs; version++) {
    await Promise.all(Array.from({ length: USERS }, async (_, i) => {
      if (random.chance(0.5)) return;
      await instances[i % INSTANCES]!.accept({ user_id: `u${i}`, value: String(version) });
      watch.acknowledged(`u${i}`, version);
    }));
  }
}

async function readAll(instances: readonly Dsproxy[], watch: Watch, untilMs: number) {
  const reader = async (index: number) => {
    const random = new Random(index);
    const instance = index % INSTANCES;
    while (performance.now() < untilMs) {
      const user = `u${random.below(USERS)}`;
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
 * @param trouble is made again and again meanwhile
 * @param engine is between the instances and the database, if there is one
 */
function test(
  behaviour: string,
  trouble: (redis: RawClient) => Promise<unknown>,
  engine?: EngineName,
): void {
  Deno.test(behaviour, async () => {
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
          BATCH_INTERVAL: "100ms",
          ...broker?.settings,
        }),
      )));
    const watch = new Watch();
    const untilMs = performance.now() + LASTS_MS;
    const makeTrouble = async () => {
      while (performance.now() < untilMs) {
        await trouble(client);
        await delay(100);
      }
    };
    await Promise.all([
      writeAll(instances, watch, untilMs),
      readAll(instances, watch, untilMs),
      makeTrouble(),
    ]);
    assert.ok(watch.reads > 300, `${watch.reads} reads`);
    // Nothing comes any more, and everybody sees the last of all.
    await delay(BEHIND_MS);
    await readAll(instances, watch, performance.now() + 500);
    for (const instance of instances) await instance.stop();
  });
}

test("a reader of another instance is at most a moment behind, and never goes back", async () => {});

test(
  "the same while connections are cut over which Redis tells of changes",
  (redis) => redis.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
);

test(
  "the same with a broker between, while connections are cut",
  (redis) => redis.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
  "rabbitmq",
);

test(
  "the same while Redis loses all it has",
  (redis) => redis.flushAll(),
);

test("the same while a full Redis evicts what was just written", async (redis) => {
  const { maxmemory } = await redis.configGet("maxmemory");
  if (maxmemory !== "0") return;
  // Once it has some of the users' copies, there is room for no more.
  await delay(300);
  await redis.configSet("maxmemory-policy", "allkeys-random");
  const used = Number(/used_memory:(\d+)/.exec(await redis.info("memory"))![1]);
  await redis.configSet("maxmemory", String(used));
});
