/** Look-ups that are asked for at the same time. */
import assert from "node:assert/strict";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import type { Store } from "../../../src/ports/store.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { indexed, withStore } from "../../support/postgres_store.ts";

const SOURCE = "instance0001/run1";
const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));
const USERS = Array.from({ length: 500 }, (_, i) => `user${i}`);

async function put(store: Store): Promise<void> {
  await store.open(SOURCE);
  const rows = USERS.map((userId, i) => entry(i + 1, { userId, value: `value of ${userId}` }));
  await store.put(SOURCE, rows, 0);
}

/** What each of these users has; more than once, so that later ones go together. */
async function valuesOf(store: Store, userIds: readonly string[]) {
  const latest = () => Promise.all(userIds.map((userId) => store.latest(userId)));
  for (let i = 0; i < 3; i++) await latest();
  return (await latest()).map((found) => found?.value);
}

Deno.test("each of many look-ups finds its own user's entry, or none", () =>
  withDatabase((url) =>
    withStore(url, async (store) => {
      await put(store);
      const wanted = [...USERS, "nobody", "user7", "{}", '"', "a,b", "NULL", "\\\\", ...USERS];
      assert.deepEqual(
        await valuesOf(store, wanted),
        wanted.map((userId) => USERS.includes(userId) ? `value of ${userId}` : undefined),
      );
      await execute(url, "alter table user_data alter user_id type varchar");
      assert.deepEqual(
        await valuesOf(store, USERS),
        USERS.map((userId) => `value of ${userId}`),
      );
    })
  ));

Deno.test("look-ups that go together use the index", () =>
  withDatabase((url) =>
    withStore(url, async (store) => {
      await put(store);
      await execute(
        url,
        "insert into user_data(user_id, value, ts) select 'other' || i, 'v', i from " +
          "generate_series(1, 20000) i",
      );
      await indexed(url);
      await execute(url, "analyze user_data");
      const scans = async () => {
        const [found] = await execute(
          url,
          `select t.seq_scan::int as seq, i.idx_scan::int as idx from pg_stat_user_tables t
            join pg_stat_user_indexes i using (relid)
            where t.relname = 'user_data' and i.indexrelname = 'dsproxy_user_data_latest'`,
        );
        return found as unknown as { seq: number; idx: number };
      };
      const before = await scans();
      await valuesOf(store, USERS);
      await eventually("all are counted", async () => {
        await store.latest("nobody"); // A connection tells what it did no more than once a second.
        return (await scans()).idx - before.idx >= 4 * USERS.length;
      });
      // What made the table ready has looked through it, and may be counted late.
      assert.ok((await scans()).seq - before.seq < 10);
    })
  ));

Deno.test("a row that cannot be read keeps none but its own user from being read", () =>
  withDatabase(async (url) => {
    await withStore(url, put);
    const role = `limited_${crypto.randomUUID().slice(0, 8)}`;
    await execute(
      url,
      `create role ${role} login password 'pw'; grant select, insert on user_data to ${role};
      grant all on dsproxy_marks, dsproxy_dead_letters, dsproxy_store to ${role};
      alter table user_data enable row level security; create policy readable on user_data for
        select using (case when user_id = 'user7' then 1 / (length(user_id) - 5) = 1 else true end)`,
    );
    const options = postgresOptions(url, { user: role, password: () => "pw" });
    const { store } = createPostgresStore(options);
    try {
      await valuesOf(store, USERS.slice(10));
      const found = await Promise.allSettled(USERS.slice(0, 20).map((id) => store.latest(id)));
      assert.deepEqual(
        found.map((one) => one.status === "fulfilled" ? one.value?.value : one.reason.code),
        USERS.slice(0, 20).map((id) => id === "user7" ? "22012" : `value of ${id}`),
      );
    } finally {
      await store.close();
      await execute(url, `drop owned by ${role}; drop role ${role}`);
    }
  }));
