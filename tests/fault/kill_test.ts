import assert from "node:assert/strict";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { seeded } from "../support/random.ts";
import { delay } from "../support/services.ts";

const ROUNDS = Number(Deno.env.get("KILL_ROUNDS") ?? 20);
const STOPS = 5;
const WRITERS = 16;

/** Load on one instance after another in the same directory, each ended at a random moment; then what PostgreSQL has is compared. */
async function assertLandsExactlyOnce(rounds: number, end: (proxy: Dsproxy) => Promise<void>): Promise<void> {
  const seed = Number(Deno.env.get("KILL_SEED") ?? Date.now() % 1_000_000);
  const random = seeded(seed);
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-kill-" });
  const settings = { DATA_DIR: dataDir, DATABASE_URL: database.url, BATCH_INTERVAL: "50ms" };
  const acknowledged = new Set<string>();
  try {
    for (let round = 0; round < rounds; round++) {
      await using proxy = await Dsproxy.start(settings);
      const load = startLoad(proxy, round, acknowledged);
      await delay(20 + random() * 400);
      await end(proxy);
      await load;
    }
    await using last = await Dsproxy.start(settings);
    await eventually("the backlog is flushed", async () => await last.metric("dsproxy_queue_depth") === 0);
    await last.stop();
    const rows = await once(database.url, (sql) =>
      sql<{ value: string; n: number }[]>`
      select value, count(*)::int as n from user_data group by value`);
    const counts = new Map(rows.map(({ value, n }) => [value, n]));
    const lost = [...acknowledged].filter((value) => !counts.has(value));
    const doubled = rows.filter(({ n }) => n > 1);
    assert.ok(acknowledged.size > rounds, `only ${acknowledged.size} writes were acknowledged`);
    assert.deepEqual({ lost, doubled }, { lost: [], doubled: [] }, `KILL_SEED=${seed}`);
  } finally {
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** Writers that go on until the instance refuses or is gone. */
async function startLoad(proxy: Dsproxy, round: number, acknowledged: Set<string>): Promise<void> {
  const write = async (writer: number): Promise<void> => {
    for (let i = 0;; i++) {
      const value = `${round}/${writer}/${i}`;
      try {
        const response = await proxy.write({ user_id: `u${writer}`, value }, "?ack=durable");
        await response.body?.cancel();
        if (response.status === 202) acknowledged.add(value);
      } catch {
        return; // The connection broke with the process: this write was not acknowledged.
      }
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
}

Deno.test(`killed at random ${ROUNDS} times under load, every durable write is in PostgreSQL exactly once`, () =>
  assertLandsExactlyOnce(ROUNDS, (proxy) => proxy.kill()));

Deno.test(`stopped ${STOPS} times under load it exits with 0, and every write is in PostgreSQL exactly once`, () =>
  assertLandsExactlyOnce(STOPS, (proxy) => proxy.stop()));
