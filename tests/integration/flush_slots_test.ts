/** The program itself with FLUSH_SLOTS, around a real Redis and PostgreSQL. */
import assert from "node:assert/strict";
import { createRedisFlushSlots } from "../../src/adapters/redis/flush_slots.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { once, withDatabase } from "../support/postgres.ts";
import { sharedRedisUrl } from "../support/redis.ts";

const NEVER = new AbortController().signal;

Deno.test("a stop does not wait for a slot that others keep; what waits is stored after the next start", () =>
  withDatabase(async (databaseUrl) => {
    const folder = await Deno.makeTempDir({ prefix: "dsproxy-slots-" });
    const prefix = `${crypto.randomUUID()}:`;
    const settings = {
      ...{ DATABASE_URL: databaseUrl, REDIS_URL: sharedRedisUrl(), CACHE_PREFIX: prefix },
      ...{ DATA_DIR: folder, BATCH_INTERVAL: "50ms", FLUSH_SLOTS: "1", SHUTDOWN_GRACE: "1s" },
    };
    const url = sharedRedisUrl();
    const other = createRedisFlushSlots({ url, prefix, count: 1, waitMs: 30_000 });
    try {
      await using first = await Dsproxy.start(settings);
      await first.accept({ user_id: "before", value: "" }, "?ack=flushed");
      assert.equal(await first.metric("dsproxy_flush_slots_held"), 0);
      assert.ok(await first.metric("dsproxy_flush_slot_wait_seconds_count") > 0);
      const held = await other.acquire(await identityOf(databaseUrl), NEVER);
      assert.ok(held);
      await first.accept({ user_id: "waits", value: "" });
      const startedMs = performance.now();
      await first.stop();
      assert.ok(performance.now() - startedMs < 8_000, first.log);
      assert.deepEqual(await usersIn(databaseUrl), ["before"]);
      held.release();
      await using second = await Dsproxy.start(settings);
      await eventually("it is stored", async () => (await usersIn(databaseUrl)).length === 2);
      await second.stop();
    } finally {
      await other.close();
      await Deno.remove(folder, { recursive: true });
    }
  }));

async function identityOf(databaseUrl: string): Promise<string> {
  const [row] = await once(databaseUrl, (sql) =>
    sql<{ identity: string }[]>`
    select identity from dsproxy_store`);
  return row!.identity;
}

async function usersIn(databaseUrl: string): Promise<string[]> {
  const rows = await once(databaseUrl, (sql) =>
    sql<{ user_id: string }[]>`
    select user_id from user_data order by user_id`);
  return rows.map((row) => row.user_id);
}
