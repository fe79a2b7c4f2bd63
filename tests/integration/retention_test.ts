/** Nothing that anybody reads changes when rows are deleted, whichever tier answers. */
import assert from "node:assert/strict";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { createSqliteStore } from "../../src/adapters/sqlite/store.ts";
import type { StorePorts } from "../../src/ports/store.ts";
import { OLDER_THAN, wholePass } from "../contract/retention_suite.ts";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";
import { postgresOptions } from "../support/postgres_options.ts";
import { Random } from "../support/random.ts";
import { sharedRedisUrl } from "../support/redis.ts";

const USERS = Array.from({ length: 20 }, (_, i) => `u${i}`);

/** Writes a history of each user, and reads half of them, so that these have copies. */
async function writeHistories(proxy: Dsproxy): Promise<void> {
  const random = new Random(3);
  for (let i = 0; i < 200; i++) {
    const user_id = random.pick(USERS);
    const limit = USERS.indexOf(user_id) % 2 === 0 ? OLDER_THAN : 2 * OLDER_THAN;
    await proxy.accept({ user_id, value: `v${i}`, ts: random.below(limit) });
  }
  await eventually(
    "the queue is empty",
    async () => await proxy.metric("dsproxy_queue_depth") === 0,
  );
  for (const user of USERS.slice(0, USERS.length / 2)) await proxy.read(user);
}

/**
 * @param others each has copies of its own, or none
 * @param ports of the same store
 */
async function checkReads(
  settings: Environment,
  others: readonly Environment[],
  ports: () => StorePorts,
): Promise<void> {
  const reading = { ...settings, BATCH_INTERVAL: "50ms" };
  await using proxy = await Dsproxy.start(reading);
  await writeHistories(proxy);
  const reads = async (of: Dsproxy) => {
    const found: string[] = [];
    for (const user of USERS) {
      found.push(`${user} ${(await of.read(user)).value}`);
    }
    return found;
  };
  const made = ports();
  const { store } = made;
  const before: string[] = [];
  for (const user of USERS) {
    const found = await store.latest(user);
    before.push(`${user} ${found?.value}`);
  }
  const { rows } = await wholePass(made, 10);
  assert.ok(rows > 60, `${rows} rows were deleted`);
  await store.close();
  assert.deepEqual(await reads(proxy), before);
  for (const other of others) {
    await using another = await Dsproxy.start(other);
    assert.deepEqual(await reads(another), before);
    await another.stop();
  }
  await proxy.stop();
}

Deno.test("with Redis, copies in the process and none every read is as before", async () => {
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-retention-" });
  try {
    const shared = {
      DATABASE_URL: database.url,
      REDIS_URL: sharedRedisUrl(),
      CACHE_PREFIX: `test-${crypto.randomUUID()}:`,
    };
    const ports = () => createPostgresStore(postgresOptions(database.url));
    await checkReads({ ...shared, DATA_DIR: `${dataDir}/a` }, [
      { ...shared, DATA_DIR: `${dataDir}/b` },
      { ...shared, DATA_DIR: `${dataDir}/c`, CACHE_LOCAL_MAX: "0" },
      { DATABASE_URL: database.url, DATA_DIR: `${dataDir}/d` },
    ], ports);
  } finally {
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("with the embedded store every read is as before", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-retention-" });
  try {
    await checkReads(
      { DATA_DIR: dataDir },
      [],
      () => createSqliteStore({ path: `${dataDir}/dsproxy.db` }),
    );
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
