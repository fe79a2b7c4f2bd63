/** Those who bring one group, who fold, and who put, in every order of their statements. */
import assert from "node:assert/strict";
import type pg from "pg";
import { applyTogether, foldInto } from "../../../src/adapters/postgres/groups.ts";
import { putTogether } from "../../../src/adapters/postgres/put.ts";
import type { Transaction } from "../../../src/adapters/postgres/session.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { GroupsOverlapError } from "../../../src/errors.ts";
import type { GroupStore } from "../../../src/ports/group_store.ts";
import { group, SOURCE } from "../../support/groups.ts";
import { oneByOne, type Trial, tryEveryOrder, type Work } from "../../support/interleavings.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";

const GROUP = group(1, 3);
const EMPTY = "delete from user_data; delete from dsproxy_marks; delete from dsproxy_applied";
const OPENED = `${EMPTY}; insert into dsproxy_marks (source, seq) values ('${SOURCE}', 0)`;
const THERE = `${EMPTY};
  insert into user_data (user_id, value, ts, dsproxy_instance, dsproxy_seq)
    select 'user' || i, 'value' || i, 1000, '${SOURCE}', i from generate_series(1, 3) i;
  insert into dsproxy_applied (source, first, last) values ('${SOURCE}', 1, 3)`;

const apply: Work = (transaction) => applyTogether(transaction, [GROUP]);
const fold: Work = (transaction) => foldInto(transaction, SOURCE);
const put: Work = (transaction) => putTogether(transaction, SOURCE, GROUP.entries, 0);

type Found = { readonly seqs: string; readonly mark: number; readonly intervals: string };

async function find(client: pg.Client): Promise<Found> {
  const { rows: [found] } = await client.query<Found>(
    `select (select string_agg(dsproxy_seq::text, ' ' order by dsproxy_seq) from user_data) as seqs,
       coalesce((select max(seq)::int from dsproxy_marks), 0) as mark,
       coalesce((select string_agg(first || '-' || last, ' ') from dsproxy_applied), '')
         as intervals`,
  );
  return found!;
}

/** Each row is there once, and is told to be. */
async function isThereOnce(client: pg.Client): Promise<void> {
  const { seqs, mark, intervals } = await find(client);
  assert.equal(seqs, "1 2 3");
  assert.match(`${mark} ${intervals}`, /^(3 |0 1-3)$/);
}

type Tried = Omit<Trial, "check"> & {
  readonly check?: (client: pg.Client, groups: GroupStore) => Promise<void>;
};

/** Tries every order and looks whether each row is there once; returns how many orders there are. */
async function tried({ check = isThereOnce, ...trial }: Tried): Promise<number> {
  let orders = 0;
  await withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url));
    try {
      await groups.fold(SOURCE);
      orders = await tryEveryOrder(url, { ...trial, check: (client) => check(client, groups) });
    } finally {
      await store.close();
    }
  });
  return orders;
}

Deno.test("in no order do two who bring a group, and one who folds, lose or double it", async () => {
  assert.ok(await tried({ prepare: EMPTY, works: [apply, apply, fold] }) > 1_000);
});

Deno.test("in no order does one who brings what is being folded lose or double it", async () => {
  assert.equal(await tried({ prepare: THERE, works: [apply, fold] }), 35);
});

Deno.test("nor in any order of the statements that go out together", async () => {
  for (const prepare of [OPENED, THERE]) {
    assert.equal(await tried({ prepare, works: [oneByOne(apply), oneByOne(fold)] }), 126);
  }
  assert.ok(await tried({ prepare: OPENED, works: [oneByOne(apply), oneByOne(apply)] }) > 5);
});

Deno.test("in no order does a group come beside what a dead process put last", async () => {
  const stranded = { prepare: OPENED, isBegun: true };
  assert.ok(await tried({ ...stranded, works: [put, apply, fold] }) > 50);
  assert.ok(await tried({ ...stranded, works: [put, apply, apply] }) > 50);
  // It lies above where the dead one began, and does not begin there.
  const later: Work = (transaction) => applyTogether(transaction, [group(2, 3)]);
  for (const brought of [apply, later]) {
    const works = [oneByOne(put), oneByOne(brought)];
    assert.ok(await tried({ ...stranded, works, check: isPutOnce }) > 5);
  }
});

async function isPutOnce(client: pg.Client): Promise<void> {
  assert.deepEqual(await find(client), { seqs: "1 2 3", mark: 3, intervals: "" });
}

Deno.test("of a group across what a dead process put last nothing is there, in no order", async () => {
  const half: Work = (transaction) =>
    putTogether(transaction, SOURCE, GROUP.entries.slice(0, 2), 0);
  let overlaps = 0;
  const orders = await tried({
    prepare: OPENED,
    works: [half, oneByOne(apply)],
    isBegun: true,
    mayFail: (error) => error instanceof GroupsOverlapError && ++overlaps > 0,
    check: async (client, groups) => {
      assert.deepEqual(await find(client), { seqs: "1 2", mark: 2, intervals: "" });
      // Who sends what is above the mark, cut there, completes it.
      await groups.apply([group(3, 3)]);
      assert.deepEqual(await groups.fold(SOURCE), { mark: 3, ahead: false });
      await isPutOnce(client);
    },
  });
  assert.ok(orders > 5);
  assert.equal(overlaps, orders);
});

Deno.test("the trial finds the order in which a group that waits for no put is doubled", async () => {
  let withoutLock = 0;
  const waitsForNone: Work = (transaction) =>
    apply({
      ...transaction,
      query: (text, parameters) => {
        const without = text.replace(/select from dsproxy_marks[^;]*for key share;/, "");
        if (without !== text) withoutLock++;
        return transaction.query(without, parameters);
      },
    });
  await assert.rejects(
    tried({ prepare: OPENED, works: [put, waitsForNone], isBegun: true }),
    /In the order .*: Expected values/,
  );
  assert.ok(withoutLock > 0);
});

Deno.test("the trial finds the order in which one who puts after a group doubles it", async () => {
  // So a source of which a broker may have groups is never put again.
  await assert.rejects(
    tried({ prepare: OPENED, works: [put, apply] }),
    /In the order .*: Expected values/,
  );
});

Deno.test("the trial finds the order in which a mark that is read first doubles a group", async () => {
  const marksFirst: Work = async (transaction: Transaction) => {
    const { rows } = await transaction.query<{ seq: string }>(
      `select seq from dsproxy_marks where source = '${SOURCE}'`,
    );
    const { rowCount } = await transaction.query(
      `insert into dsproxy_applied values ('${SOURCE}', 1, 3) on conflict do nothing`,
    );
    if (Number(rows[0]?.seq ?? 0) >= 3 || rowCount === 0) return;
    await transaction.query(
      `insert into user_data (user_id, value, ts, dsproxy_instance, dsproxy_seq)
       select 'user' || i, 'value' || i, 1000, '${SOURCE}', i from generate_series(1, 3) i`,
    );
  };
  await assert.rejects(
    tried({ prepare: THERE, works: [marksFirst, fold] }),
    /In the order .*: Expected values/,
  );
});

Deno.test("who folds and who applies do not wait for each other", () =>
  withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url));
    await groups.apply([GROUP]);
    await once(url, async (sql) => {
      await sql.begin(async (other) => {
        await other.unsafe(
          `select from dsproxy_marks where source = '${SOURCE}' for no key update;
           update dsproxy_marks set updated_at = now() where source = '${SOURCE}'`,
        );
        assert.equal((await groups.apply([group(4, 6)])).rows, 3);
      });
      await sql.begin(async (other) => {
        await other.unsafe(
          `select from dsproxy_marks where source = '${SOURCE}' order by source for key share`,
        );
        assert.deepEqual(await groups.fold(SOURCE), { mark: 6, ahead: false });
      });
    });
    await store.close();
  }));

Deno.test("a fold finds groups that overlap and were brought at the very same time", () =>
  withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url));
    await groups.apply([group(1, 10)]);
    await once(url, (sql) => sql`insert into dsproxy_applied values (${SOURCE}, 5, 7)`);
    await assert.rejects(groups.fold(SOURCE), GroupsOverlapError);
    await store.close();
  }));

Deno.test("a fold goes over a thousand intervals at a time, and tells of a gap once it is there", () =>
  withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url));
    await groups.fold(SOURCE);
    await once(
      url,
      (sql) =>
        sql`insert into dsproxy_applied select ${SOURCE}, i, i from generate_series(1, 1502) i
          where i <> 1501`,
    );
    assert.deepEqual(await groups.fold(SOURCE), { mark: 1_000, ahead: false });
    assert.deepEqual(await groups.fold(SOURCE), { mark: 1_500, ahead: true });
    await groups.apply([group(1_501, 1_501)]);
    assert.deepEqual(await groups.fold(SOURCE), { mark: 1_502, ahead: false });
    await store.close();
  }));
