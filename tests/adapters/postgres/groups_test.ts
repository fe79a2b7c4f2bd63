/** Two who bring one group, and one who folds, in every order of their statements. */
import assert from "node:assert/strict";
import type pg from "pg";
import { grants } from "../../../src/adapters/postgres/ddl.ts";
import { applyTogether, foldInto } from "../../../src/adapters/postgres/groups.ts";
import type { Transaction } from "../../../src/adapters/postgres/session.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { GroupsOverlapError } from "../../../src/errors.ts";
import { group, SOURCE } from "../../support/groups.ts";
import { tryEveryOrder, type Work } from "../../support/interleavings.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { withRole } from "../../support/postgres_roles.ts";

const GROUP = group(1, 3);
const EMPTY = "delete from user_data; delete from dsproxy_marks; delete from dsproxy_applied";
const THERE = `${EMPTY};
  insert into user_data (user_id, value, ts, dsproxy_instance, dsproxy_seq)
    select 'user' || i, 'value' || i, 1000, '${SOURCE}', i from generate_series(1, 3) i;
  insert into dsproxy_applied (source, first, last) values ('${SOURCE}', 1, 3)`;

const put: Work = (transaction) => applyTogether(transaction, [GROUP]);
const fold: Work = (transaction) => foldInto(transaction, SOURCE);

/** Each row is there once, and is told to be. */
async function isThereOnce(client: pg.Client): Promise<void> {
  const { rows: [found] } = await client.query<{ seqs: string; told: number }>(
    `select (select string_agg(dsproxy_seq::text, ' ' order by dsproxy_seq) from user_data) as seqs,
       (select count(*)::int from dsproxy_marks where seq = 3)
       + (select count(*)::int from dsproxy_applied where first = 1 and last = 3) as told`,
  );
  assert.equal(found!.seqs, "1 2 3");
  assert.equal(found!.told, 1);
}

async function tried(prepare: string, ...works: readonly Work[]): Promise<number> {
  let orders = 0;
  await withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url));
    await groups.fold(SOURCE);
    await store.close();
    orders = await tryEveryOrder(url, { prepare, works, check: isThereOnce });
  });
  return orders;
}

Deno.test("in no order do two who bring a group, and one who folds, lose or double it", async () => {
  assert.ok(await tried(EMPTY, put, put, fold) > 1_000);
});

Deno.test("in no order does one who brings what is being folded lose or double it", async () => {
  assert.equal(await tried(THERE, put, fold), 35);
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
  await assert.rejects(tried(THERE, marksFirst, fold), /In the order .*: Expected values/);
});

Deno.test("a role that may not create the table is told what its owner has to run", () =>
  withDatabase(async (url) => {
    await once(url, (sql) => sql.unsafe("revoke create on schema public from public"));
    const owner = createPostgresStore(postgresOptions(url));
    await owner.store.open(SOURCE);
    await owner.store.close();
    await withRole(url, async (role) => {
      await once(url, (sql) => sql.unsafe(grants("public", role.user).join("; ")));
      const { store, groups } = createPostgresStore(postgresOptions(url, {
        user: role.user,
        password: () => role.password,
      }));
      const refused = await groups.apply([GROUP]).then(
        () => "",
        (error) => error.message as string,
      );
      assert.match(refused, /may not create a table in the schema public/);
      await once(url, (sql) => sql.unsafe(/run this: (.*)$/.exec(refused)![1]!));
      assert.equal((await groups.apply([GROUP])).rows, 3);
      assert.equal((await groups.fold(SOURCE)).mark, 3);
      await store.close();
    });
  }));

Deno.test("a table that was dropped is made again", () =>
  withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url));
    await groups.apply([GROUP]);
    await groups.fold(SOURCE);
    await once(url, (sql) => sql.unsafe("drop table dsproxy_applied"));
    await assert.rejects(groups.apply([GROUP]));
    assert.equal((await groups.apply([GROUP])).rows, 0);
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
