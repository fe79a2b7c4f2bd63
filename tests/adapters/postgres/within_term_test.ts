import assert from "node:assert/strict";
import { TermOverError } from "../../../src/errors.ts";
import type { EntryGroup } from "../../../src/ports/group_store.ts";
import { entry } from "../../support/fakes.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { withStore } from "../../support/postgres_store.ts";

const SOURCE = "run000000001";
const FORWARDED = "run000000002";

const group = (first: number, last: number): EntryGroup => ({
  source: FORWARDED,
  first,
  last,
  entries: Array.from({ length: last - first + 1 }, (_, i) => entry(first + i)),
});

async function countRows(url: string): Promise<number> {
  const [row] = await once(url, (sql) => sql`select count(*) as n from user_data`);
  return Number(row!.n);
}

Deno.test("what is brought within a term is there as if it came by itself", () =>
  withDatabase((url) =>
    withStore(url, async (store, { terms, within }) => {
      await store.marks([]);
      const bound = within!(await terms!.begin("leader000001"));
      assert.equal(await bound.open(SOURCE), 0);
      assert.equal((await bound.put(SOURCE, [entry(1), entry(2)], 0)).rows, 2);
      assert.equal((await bound.put(SOURCE, [entry(1), entry(2), entry(3)], 2)).rows, 1);
      assert.equal((await bound.apply([group(1, 3), group(4, 5)])).rows, 5);
      assert.deepEqual(await bound.fold(FORWARDED), { mark: 5, ahead: false });
      assert.deepEqual(
        await store.marks([SOURCE, FORWARDED]),
        new Map([[SOURCE, 3], [FORWARDED, 5]]),
      );
      assert.equal(await countRows(url), 8);
    })
  ));

Deno.test("once another term has begun nothing is written within the former one", () =>
  withDatabase((url) =>
    withStore(url, async (store, { terms, within }) => {
      await store.marks([]);
      const former = within!(await terms!.begin("leader000001"));
      await former.open(SOURCE);
      await former.apply([group(1, 2)]);
      const present = within!(await terms!.begin("leader000002"));
      for (
        const call of [
          () => former.open("run000000003"),
          () => former.put(SOURCE, [entry(1)], 0),
          () => former.apply([group(3, 4)]),
          () => former.fold(FORWARDED),
        ]
      ) await assert.rejects(call, TermOverError);
      assert.equal(await countRows(url), 2);
      assert.deepEqual(
        await store.marks([SOURCE, FORWARDED, "run000000003"]),
        new Map([[SOURCE, 0]]),
      );
      assert.equal((await present.put(SOURCE, [entry(1)], 0)).rows, 1);
    })
  ));

Deno.test("rows that are refused are taken apart within the term, too, and not after it", () =>
  withDatabase((url) =>
    withStore(url, async (store, { terms, within }) => {
      await store.marks([]);
      await once(url, (sql) =>
        sql`alter table user_data add constraint not_bad check (value <> 'bad')`);
      const bound = within!(await terms!.begin("leader000001"));
      await bound.open(SOURCE);
      const entries = [entry(1), entry(2, { value: "bad" }), entry(3)];
      const { rows, dead } = await bound.put(SOURCE, entries, 0);
      assert.deepEqual([
        rows,
        dead.map(({ seq }) =>
          seq
        ),
      ], [2, [2]]);
      await terms!.begin("leader000002");
      await assert.rejects(
        () => bound.put(SOURCE, [entry(4, { value: "bad" })], 3),
        TermOverError,
      );
      assert.equal(await countRows(url), 2);
    })
  ));
