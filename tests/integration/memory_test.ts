/** The promise of src/memory_budget.ts, held by the real program with PostgreSQL and Redis. */
import assert from "node:assert/strict";
import { PROMISED_RESIDENT_BYTES } from "../../src/memory_budget.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { output } from "../support/services.ts";

const CLIENTS = 32;
const WRITES_PER_CLIENT = 60;
const LONG = "x".repeat(256 * 1024 - 16);
const DRAIN_LIMIT_MS = 300_000;

/** The most that the process ever had resident. */
async function peakBytes({ process }: Dsproxy): Promise<number> {
  // Deno reads nothing in /proc without --allow-all.
  const status = await output("cat", [`/proc/${process.pid}/status`]);
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

async function holdsItsPromise(proxy: Dsproxy): Promise<void> {
  const peak = await peakBytes(proxy);
  const megabytes = Math.round(peak / 1e6);
  assert.ok(peak <= PROMISED_RESIDENT_BYTES, `${megabytes} MB were resident`);
}

/** Each client writes values of 256 KiB, and reads back its own and somebody else's. */
async function load(proxy: Dsproxy, readBack: boolean): Promise<void> {
  const client = async (_: unknown, number: number) => {
    for (let i = 0; i < WRITES_PER_CLIENT; i++) {
      const userId = `user${number}-${i}`;
      const value = `${number}-${i}:${LONG}`;
      await proxy.accept({ user_id: userId, value });
      if (!readBack) continue;
      assert.ok((await proxy.read(userId)).value === value, `another value of ${userId}`);
      await proxy.read(`user${(number + 1) % CLIENTS}-${i}`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

async function drained(proxy: Dsproxy): Promise<void> {
  await eventually(
    "the database has everything",
    async () => await proxy.metric("dsproxy_queue_depth") === 0,
    DRAIN_LIMIT_MS,
  );
}

Deno.test(
  "32 clients with values of 256 KiB, and a full journal that drains, stay within " +
    "the memory that is promised",
  async () => {
    await using postgres = await startPostgres();
    await using redis = await startRedis();
    const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-memory-" });
    const settings = { DATA_DIR: dataDir, DATABASE_URL: postgres.url, REDIS_URL: redis.url };
    try {
      await using loaded = await Dsproxy.start(settings);
      await load(loaded, true);
      await drained(loaded);
      await holdsItsPromise(loaded);
      await postgres.stop();
      await load(loaded, false);
      await holdsItsPromise(loaded);
      await loaded.kill();
      await postgres.start();
      await using draining = await Dsproxy.start(settings);
      assert.ok(await draining.metric("dsproxy_queue_depth") > 0, "nothing was left to drain");
      await drained(draining);
      await holdsItsPromise(draining);
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  },
);
