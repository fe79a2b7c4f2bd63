/** What the audit makes of PostgreSQL's own: groups, upgrades, partitions, flushes under way. */
import assert from "node:assert/strict";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { NUMBERS_INDEX } from "../../../src/adapters/postgres/numbers_index.ts";
import { entries, RUN } from "../../contract/audit_suite.ts";
import { group } from "../../support/groups.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { Random } from "../../support/random.ts";

function test(
  behaviour: string,
  work: (ports: ReturnType<typeof createPostgresStore>, url: string) => Promise<void>,
): void {
  Deno.test(behaviour, () =>
    withDatabase(async (url) => {
      const ports = createPostgresStore(postgresOptions(url));
      try {
        await work(ports, url);
      } finally {
        await ports.store.close();
      }
    }));
}

const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));
const SOURCE = "instance0001";

test("numbers that groups have no entry for, or that never come, are gone", async ({ groups, audit }) => {
  await groups.apply([group(4, 9, SOURCE, [5, 6]), group(12, 14, SOURCE, [14])]);
  await groups.fold(SOURCE, [{ first: 1, last: 3 }]);
  const never = [{ first: 10, last: 11 }, { first: 13, last: 13 }, { first: 15, last: 20 }];
  assert.equal((await groups.fold(SOURCE, never)).mark, 20);
  const [{ agrees, gone, rows, mark }] = await audit.survey() as [never];
  assert.deepEqual([agrees, gone, rows, mark], [
    true,
    { retired: 0, discarded: 0, withdrawn: 3 + 2 + 2 + 1 + 6, accepted: 0 },
    6,
    20,
  ]);
  assert.equal((await audit.check(SOURCE, 1, 20)).missing.numbers, 0);
});

test("groups above the mark are no strays", async ({ groups, audit }) => {
  await groups.apply([group(1, 3, SOURCE), group(7, 9, SOURCE)]);
  await groups.fold(SOURCE);
  const [{ agrees, strays, mark }] = await audit.survey() as [never];
  assert.deepEqual([agrees, strays, mark], [true, 0, 3]);
  assert.deepEqual(await audit.strays(SOURCE, 10), []);
});

test(
  "what an earlier release brought is unknown, and what follows is audited",
  async ({ store, audit }, url) => {
    await store.open(RUN);
    await store.put(RUN, entries(1, 10), 0);
    await execute(
      url,
      "drop table dsproxy_audit_notes; delete from user_data where dsproxy_seq < 4",
    );
    const upgraded = createPostgresStore(postgresOptions(url));
    try {
      await upgraded.store.open(RUN);
      await upgraded.store.put(RUN, entries(11, 20), 10);
      const [source] = await audit.survey();
      assert.deepEqual([source!.unknownThrough, source!.rows, source!.agrees], [10, 10, true]);
      await execute(url, "delete from user_data where dsproxy_seq in (9, 15)");
      const { numbers, missing } = await audit.check(RUN, 1, 100);
      assert.deepEqual([numbers, missing.first], [10, [{ first: 15, last: 15 }]]);
    } finally {
      await upgraded.store.close();
    }
  },
);

test("rows of journals of the first format are nobody's strays", async ({ store, audit }, url) => {
  await store.open(`${SOURCE}/${RUN}`);
  await store.put(`${SOURCE}/${RUN}`, entries(5, 9).map((e) => ({ ...e, run: SOURCE })), 0);
  await execute(url, "select 1");
  assert.deepEqual(await audit.survey(), []);
});

test("while flushes, folds and retries are under way nothing is missing", async ({ store, groups, audit }) => {
  const random = new Random(7);
  const other = "instance0002";
  await store.open(RUN);
  let [seq, next, isDone] = [0, 1, false];
  const puts = async () => {
    for (let i = 0; i < 60; i++) {
      const gap = random.pick([0, 0, 0, 2]);
      const batch = entries(seq + gap + 1, seq + gap + 20);
      await store.put(RUN, batch, seq);
      seq = batch.at(-1)!.seq;
    }
  };
  const applies = async () => {
    for (let i = 0; i < 60; i++) {
      const [a, b] = [group(next, next + 4, other, [next + 1]), group(next + 5, next + 9, other)];
      next += 10;
      await groups.apply([b]);
      await groups.apply([a, b]);
      if (random.chance(0.5)) await groups.fold(other);
    }
  };
  const audits = async () => {
    let times = 0;
    for (; !isDone || times < 3; times++) {
      for (const { source, agrees, strays } of await audit.survey()) {
        assert.deepEqual([agrees, strays], [true, 0], source);
      }
      const { missing, doubled } = await audit.check(RUN, 1, 1_000_000);
      assert.deepEqual([missing.numbers, doubled.numbers], [0, 0]);
    }
  };
  await Promise.all([Promise.all([puts(), applies()]).then(() => isDone = true), audits()]);
});

test(
  "samples are to be had once the index is there, which nobody waits for",
  async ({ store, audit }, url) => {
    await store.open(RUN);
    await store.put(RUN, entries(1, 10), 0);
    const samples = [];
    for (let tries = 0; samples.length === 0 && tries < 100; tries++) {
      samples.push(...await audit.samples());
    }
    assert.deepEqual(samples, [{ source: RUN, unknownThrough: 0, mark: 10 }]);
    const isValid = async () =>
      (await execute(
        url,
        `select indisvalid as valid from pg_index where indexrelid = '${NUMBERS_INDEX}'::regclass`,
      ))[0]!.valid;
    assert.equal(await isValid(), true);
    await execute(
      url,
      `update pg_index set indisvalid = false
    where indexrelid = '${NUMBERS_INDEX}'::regclass`,
    );
    assert.equal(await isValid(), false);
    assert.equal(
      (await audit.samples()).length,
      1,
      "one that an interrupted build left is made anew",
    );
    assert.equal(await isValid(), true);
  },
);

test("a partitioned table is audited without an index of ours", async ({ store, audit }, url) => {
  await execute(
    url,
    `create table user_data (user_id text, value text, ts bigint) partition by hash (user_id);
     create table part0 partition of user_data for values with (modulus 2, remainder 0);
     create table part1 partition of user_data for values with (modulus 2, remainder 1)`,
  );
  await store.open(RUN);
  await store.put(RUN, entries(1, 30), 0);
  await execute(url, "delete from user_data where dsproxy_seq = 17");
  assert.deepEqual(await audit.samples(), []);
  assert.deepEqual((await audit.survey()).map(({ agrees }) => agrees), [false]);
  assert.deepEqual((await audit.check(RUN, 1, 30)).missing.first, [{ first: 17, last: 17 }]);
});
