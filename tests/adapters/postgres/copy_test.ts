/** Batches are brought in by COPY, and by INSERT where COPY would do something else. */
import assert from "node:assert/strict";
import pg from "pg";
import { createPool } from "../../../src/adapters/postgres/pool.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { StoreUnavailableError } from "../../../src/errors.ts";
import type { Entry } from "../../../src/domain.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { startPgBouncer } from "../../support/pgbouncer.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { withStore } from "../../support/postgres_store.ts";

const SOURCE = "instance0001/run1";
const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

const HOSTILE = [
  "",
  "\\N",
  "\\.",
  "\\",
  "\\\\",
  "\\t\\n",
  "\t",
  "\n",
  "\r",
  "\r\n\\.\r\n",
  "a\tb\tc",
  "\\.\n",
  "ends in \\",
  "\u0001\b\f\v\u007f",
  "'\"`;--",
  "\ufeffmark",
  "üñí漢字🙂",
  "\u2028\u2029\u0085",
  "x".repeat(200_000),
  "\\\t\n\r".repeat(20_000),
];

const hostileEntries = () =>
  HOSTILE.flatMap((text, i) => [
    entry(2 * i + 1, { userId: `plain${i}`, value: text }),
    entry(2 * i + 2, { userId: text === "" ? "empty" : text.slice(0, 200), value: `of ${i}` }),
  ]);

/** What a table has, as another driver reads it. */
async function rowsOf(url: string): Promise<unknown[]> {
  return [
    ...await execute(
      url,
      `select user_id as "userId", value, ts::float8 as ts, dsproxy_instance as run,
        dsproxy_accepted_ms::float8 as "acceptedMs", dsproxy_seq::float8 as seq
       from user_data order by dsproxy_seq`,
    ),
  ];
}

function sorted(entries: readonly Entry[]): unknown[] {
  return entries.map(({ userId, value, ts, run, acceptedMs, seq }) => ({
    userId,
    value,
    ts,
    run,
    acceptedMs,
    seq,
  }));
}

/** Tells by which statements the rows of a table came. */
const WATCH = `create table seen (statement text);
  create function see() returns trigger language plpgsql as $$ begin
    insert into seen select split_part(current_query(), ' ', 1); return null; end $$;
  create trigger see after insert on user_data for each statement execute function see()`;

async function seen(url: string): Promise<string[]> {
  return (await execute(url, "select statement from seen")).map(({ statement }) => statement);
}

async function withWatchedStore(
  prepare: string,
  work: (store: Parameters<Parameters<typeof withStore>[1]>[0], url: string) => Promise<void>,
): Promise<void> {
  await withDatabase((url) =>
    withStore(url, async (store) => {
      await store.open(SOURCE);
      await execute(url, `${WATCH}; ${prepare}`);
      await work(store, url);
    })
  );
}

Deno.test("hostile texts come out of a COPY as they went in, on both ways", () =>
  withWatchedStore("", async (store, url) => {
    const entries = hostileEntries();
    assert.deepEqual(await store.put(SOURCE, entries, 0), { rows: entries.length, dead: [] });
    assert.deepEqual(await seen(url), ["copy"]);
    assert.deepEqual(await rowsOf(url), sorted(entries));
    for (const each of entries) assert.deepEqual(await store.latest(each.userId), each);
  }));

Deno.test("hostile texts come out of an INSERT, and of a batch that is taken apart, the same", () =>
  withWatchedStore(
    "create rule also as on insert to user_data do also nothing",
    async (store, url) => {
      const entries = hostileEntries();
      await store.put(SOURCE, entries, 0);
      assert.deepEqual(await seen(url), ["insert"]);
      assert.deepEqual(await rowsOf(url), sorted(entries));
      await execute(url, "truncate user_data; alter table user_data add check (value <> 'bad')");
      const next = hostileEntries().map((each) => ({ ...each, seq: each.seq + 100 }));
      const bad = entry(999, { value: "bad" });
      const { dead } = await store.put(SOURCE, [...next, bad], entries.length);
      assert.deepEqual(dead.map(({ seq }) => seq), [999]);
      assert.deepEqual(await rowsOf(url), sorted(next));
    },
  ));

Deno.test("a rule of the table is obeyed, also one that is made while the service runs", () =>
  withWatchedStore("create table audit (user_id text)", async (store, url) => {
    await store.put(SOURCE, [entry(1)], 0);
    await execute(
      url,
      `create rule audit as on insert to user_data do also
         insert into audit values (new.user_id)`,
    );
    await store.put(SOURCE, [entry(2, { userId: "audited" })], 1);
    assert.deepEqual(await seen(url), ["copy", "insert"]);
    assert.deepEqual([...await execute(url, "select * from audit")], [{ user_id: "audited" }]);
  }));

Deno.test("row-level security lets in and refuses as for any INSERT", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => void await store.open(SOURCE));
    const role = `secured_${crypto.randomUUID().slice(0, 8)}`;
    await execute(
      url,
      `create role ${role} login password 'pw'; grant select, insert on user_data to ${role};
       grant select, insert, update on dsproxy_marks, dsproxy_dead_letters to ${role};
       grant select on dsproxy_store to ${role};
       alter table user_data enable row level security;
       create policy those on user_data using (true) with check (user_id <> 'forbidden')`,
    );
    const { store } = createPostgresStore(
      postgresOptions(url, { user: role, password: () => "pw" }),
    );
    try {
      await store.open("secured");
      assert.equal((await store.put("secured", [entry(1), entry(2)], 0)).rows, 2);
      const refused = [entry(3), entry(4, { userId: "forbidden" })];
      const { rows, dead } = await store.put("secured", refused, 2);
      assert.deepEqual([rows, dead.map(({ seq, code }) => [seq, code])], [1, [[4, "42501"]]]);
    } finally {
      await store.close();
      await execute(url, `drop owned by ${role}; drop role ${role}`);
    }
  }));

Deno.test("a role that may insert into the columns alone is enough", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => void await store.open(SOURCE));
    const role = `columns_${crypto.randomUUID().slice(0, 8)}`;
    await execute(
      url,
      `create role ${role} login password 'pw'; grant select on user_data, dsproxy_store to ${role};
       grant insert (user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq)
         on user_data to ${role};
       grant select, insert, update on dsproxy_marks, dsproxy_dead_letters to ${role}`,
    );
    const { store } = createPostgresStore(
      postgresOptions(url, { user: role, password: () => "pw" }),
    );
    try {
      await store.open("columns");
      assert.equal((await store.put("columns", [entry(1), entry(2)], 0)).rows, 2);
    } finally {
      await store.close();
      await execute(url, `drop owned by ${role}; drop role ${role}`);
    }
  }));

Deno.test("columns of others that are generated or number themselves are filled in by a COPY", () =>
  withWatchedStore(
    `alter table user_data add id bigint generated always as identity,
       add size int generated always as (length(value)) stored`,
    async (store, url) => {
      await store.put(SOURCE, [entry(1, { value: "four" }), entry(2, { value: "" })], 0);
      assert.deepEqual(await seen(url), ["copy"]);
      const rows = await execute(url, "select id::int, size from user_data order by id");
      assert.deepEqual([...rows], [{ id: 1, size: 4 }, { id: 2, size: 0 }]);
    },
  ));

Deno.test("a refused COPY leaves nothing, and its connection takes the next one", () =>
  withWatchedStore("alter table user_data add check (value <> 'bad')", async (store, url) => {
    const many = Array.from({ length: 3_000 }, (_, i) => entry(i + 1, { userId: `u${i}` }));
    many[1_500] = entry(1_501, { value: "bad" });
    const { rows, dead } = await store.put(SOURCE, many, 0);
    assert.deepEqual([rows, dead.map(({ seq }) => seq)], [2_999, [1_501]]);
    assert.equal((await store.put(SOURCE, [entry(3_001)], 3_000)).rows, 1);
    assert.equal((await rowsOf(url)).length, 3_000);
    assert.equal((await seen(url)).at(-1), "copy");
  }));

Deno.test("a batch that was sent in part before is copied from its first new row on", () =>
  withWatchedStore("", async (store, url) => {
    await store.put(SOURCE, [entry(1), entry(2)], 0);
    assert.equal((await store.put(SOURCE, [entry(1), entry(2), entry(3)], 2)).rows, 1);
    assert.deepEqual((await rowsOf(url)).length, 3);
  }));

Deno.test("COPY works behind PgBouncer in transaction mode, refused or not", () =>
  withDatabase(async (url) => {
    await using bouncer = await startPgBouncer({ databaseUrl: url, poolMode: "transaction" });
    await withStore(bouncer.url, async (store) => {
      await store.open(SOURCE);
      await execute(url, "alter table user_data add check (value <> 'bad')");
      const many = Array.from({ length: 2_000 }, (_, i) => entry(i + 1, { userId: `u${i}` }));
      many[7] = entry(8, { value: "bad" });
      const { rows, dead } = await store.put(SOURCE, many, 0);
      assert.deepEqual([rows, dead.map(({ seq }) => seq)], [1_999, [8]]);
      assert.equal(
        (await store.put(SOURCE, hostileEntries().map(after(2_000)), 2_000)).dead.length,
        0,
      );
    });
    assert.equal((await rowsOf(url)).length, 1_999 + hostileEntries().length);
  }));

const after = (seq: number) => (each: Entry): Entry => ({ ...each, seq: each.seq + seq });

Deno.test("a connection that breaks in the middle of a COPY leaves nothing, and is not used again", () =>
  withDatabase(async (url) => {
    await using proxy = FaultProxy.to(Number(new URL(url).port));
    await withStore(proxy.urlOf(url), async (store) => {
      await store.open(SOURCE);
      const many = Array.from(
        { length: 400 },
        (_, i) => entry(i + 1, { value: "x".repeat(20_000) }),
      );
      proxy.weather = "drip";
      const put = store.put(SOURCE, many, 0);
      const failed = assert.rejects(put, StoreUnavailableError);
      await eventually("the server is at the COPY", async () => {
        const found = await execute(
          url,
          "select from pg_stat_activity where query like 'copy user_data%' and state = 'active'",
        );
        return found.length > 0;
      });
      proxy.cut();
      await failed;
      proxy.weather = "pass";
      assert.equal((await rowsOf(url)).length, 0);
      assert.equal((await store.put(SOURCE, many, 0)).rows, 400);
    });
  }));

Deno.test("rows that cannot be written end the COPY, and the connection takes the next statement", () =>
  withDatabase(async (url) => {
    const pool = createPool({ ...postgresOptions(url), poolSize: 1 });
    const defect = new Error("cannot be written");
    function* rows() {
      yield "1\n";
      throw defect;
    }
    try {
      await pool.run(5_000, (session) => session.query("create table numbers (n int)"));
      await assert.rejects(
        pool.transaction(5_000, (each) => each.copy("copy numbers from stdin", rows())),
        (error) => error === defect,
      );
      const { rows: [count] } = await pool.run(
        5_000,
        (session) => session.query<{ n: string }>("select count(*) as n from numbers"),
      );
      assert.deepEqual(count, { n: "0" });
      assert.equal(
        await pool.transaction(
          5_000,
          (each) => each.copy("copy numbers from stdin", ["1\n", "2\n"]),
        ),
        2,
      );
    } finally {
      await pool.close();
    }
  }));

/** A COPY that gets no data, as of a client that is gone without a word. */
class StalledCopy extends pg.Query {
  handleCopyInResponse(): void {}
}

Deno.test("a COPY whose client is gone without a word does not keep its mark locked for ever", () =>
  withDatabase(async (url) => {
    const { store } = createPostgresStore(postgresOptions(url, { callTimeoutMs: 300 }));
    await store.open(SOURCE);
    const client = new pg.Client(url);
    client.on("error", () => {});
    await client.connect();
    try {
      await client.query("begin; select from dsproxy_marks for update");
      client.query(new StalledCopy("copy user_data (user_id) from stdin", () => {}));
      await assert.rejects(store.put(SOURCE, [entry(1)], 0), /a lock was not had in time/);
      await eventually("the lock is given up", async () => {
        const result = await store.put(SOURCE, [entry(1)], 0).catch(() => undefined);
        return result !== undefined;
      });
      assert.equal((await rowsOf(url)).length, 1);
    } finally {
      await store.close();
      await client.end().catch(() => {});
    }
  }));
