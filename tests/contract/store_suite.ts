/** What every Store keeps to, by the words of src/ports.ts. */
import assert from "node:assert/strict";
import { type Entry, writeId } from "../../src/domain.ts";
import { RejectedRowError } from "../../src/errors.ts";
import type { DeadLetters, Store } from "../../src/ports.ts";
import { entry } from "../support/fakes.ts";

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store & DeadLetters;
  /** Every row there is, in no order. */
  rows(): Promise<
    readonly { readonly user_id: string | null; readonly value: string | null; readonly ts: number | null }[]
  >;
  /** What another program might do. */
  execute(sql: string): Promise<void>;
}

const SOURCE = "instance0001/run1";
const AWKWARD_IDS = [
  "__proto__",
  "constructor",
  "a b&c=d",
  "*",
  "'; drop table user_data; --",
  "😀",
  "NULL",
  "{a,b}",
  "é".repeat(256),
];
const AWKWARD_VALUES = [
  "",
  "'quotes\" and \\backslashes\\\\",
  "line\r\nline\n\ttab",
  'NULL {a,"b"} [1] $1 ${x}',
  "😀 é \u2028\u0001\u007f\uffff",
  "x".repeat(256 * 1024),
  "é\\\"'".repeat(10_000),
];

export function storeContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  const test = (behaviour: string, work: (tested: StoreUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await makeStore();
      await work(tested);
    });

  test("a new source has mark 0, and afterwards the last sequence number put", async ({ store }) => {
    assert.equal(await store.open(SOURCE), 0);
    assert.equal(await store.put(SOURCE, [entry(1), entry(2)]), 2);
    assert.equal(await store.open(SOURCE), 2);
  });

  test("a batch put again writes nothing, one that overlaps only what is new", async ({ store, rows }) => {
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1), entry(2)]);
    assert.equal(await store.put(SOURCE, [entry(1), entry(2)]), 0);
    assert.equal(await store.put(SOURCE, [entry(2), entry(3), entry(4)]), 2);
    assert.deepEqual((await rows()).map(({ user_id }) => user_id).sort(), ["user1", "user2", "user3", "user4"]);
    assert.equal(await store.open(SOURCE), 4);
  });

  test("the same batch put many times at once is written once", async ({ store, rows }) => {
    await store.open(SOURCE);
    const entries = Array.from({ length: 100 }, (_, i) => entry(i + 1));
    const written = await Promise.all(Array.from({ length: 6 }, () => store.put(SOURCE, entries)));
    assert.equal(written.reduce((sum, count) => sum + count), 100);
    assert.equal((await rows()).length, 100);
  });

  test("sources are independent of each other", async ({ store, rows }) => {
    for (const source of ["a/1", "a/2", "b/1"]) {
      await store.open(source);
      await store.put(source, [entry(1)]);
    }
    assert.equal((await rows()).length, 3);
    assert.equal(await store.open("a/3"), 0);
  });

  test("putting without the source's mark is refused and writes nothing", async ({ store, rows }) => {
    await store.open("another/1");
    await assert.rejects(store.put(SOURCE, [entry(1)]), /mark/);
    assert.equal((await rows()).length, 0);
  });

  test("the newest entry wins by ts, then acceptance, then instance, then number", async ({ store }) => {
    await store.open(SOURCE);
    const u = (seq: number, fields: Partial<Entry>) => entry(seq, { userId: "u", value: `v${seq}`, ...fields });
    const inOrder: Entry[] = [
      u(1, { ts: 10, acceptedMs: 99 }),
      u(2, { ts: 11, acceptedMs: 1, instance: "aaaaaaaaaaaa" }),
      u(3, { ts: 11, acceptedMs: 2, instance: "aaaaaaaaaaaa" }),
      u(4, { ts: 11, acceptedMs: 2, instance: "aaaaaaaaaaab" }),
      u(5, { ts: 11, acceptedMs: 2, instance: "aaaaaaaaaaab" }),
    ];
    for (const [i, next] of inOrder.entries()) {
      await store.put(SOURCE, [next]);
      assert.deepEqual(await store.latest("u"), next, `after ${i + 1}`);
    }
    await store.put(SOURCE, [u(6, { ts: 5, acceptedMs: 1_000 })]);
    assert.deepEqual(await store.latest("u"), inOrder.at(-1));
  });

  test("an older entry that comes late is kept", async ({ store, rows }) => {
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1, { userId: "u", ts: 10 }), entry(2, { userId: "u", ts: 5 })]);
    assert.deepEqual((await rows()).map(({ ts }) => Number(ts)).sort(), [10, 5]);
  });

  test("a refused row is told from other failures, and can be buried: the mark moves past it", async ({ store, rows, execute }) => {
    await store.open(SOURCE);
    await execute("create unique index one_row_a_user on user_data (user_id)");
    await store.put(SOURCE, [entry(1, { userId: "u" })]);
    const refused = entry(2, { userId: "u", value: "twice" });
    const error = await store.put(SOURCE, [refused, entry(3)]).then(() => undefined, (error: unknown) => error);
    assert.ok(error instanceof RejectedRowError, String(error));
    assert.equal((await rows()).length, 1);
    assert.equal(await store.find(writeId(refused)), undefined);
    const reason = { code: error.code, message: error.message };
    await store.bury(SOURCE, refused, reason);
    await store.bury(SOURCE, refused, reason);
    assert.equal(await store.open(SOURCE), 2);
    assert.equal(await store.put(SOURCE, [refused, entry(3)]), 1);
    assert.equal((await store.latest("u"))?.seq, 1);
  });

  test("dead letters are counted, listed in pages, found, and discarded", async ({ store }) => {
    await store.open(SOURCE);
    assert.equal(await store.count(), 0);
    const reason = { code: "X", message: "refused" };
    for (let seq = 1; seq <= 5; seq++) await store.bury(SOURCE, entry(seq, { value: "é'\n" }), reason);
    assert.equal(await store.count(), 5);
    const first = await store.list(2);
    const second = await store.list(2, first.at(-1));
    const third = await store.list(2, second.at(-1));
    assert.deepEqual([first, second, third].map((page) => page.map(({ seq }) => seq)), [[1, 2], [3, 4], [5]]);
    const found = await store.find(writeId(entry(3)));
    assert.ok(found !== undefined && Math.abs(found.failedAtMs - Date.now()) < 3_600_000);
    assert.deepEqual({ ...found, failedAtMs: 0 }, {
      ...entry(3, { value: "é'\n" }),
      ...reason,
      source: SOURCE,
      attempts: 1,
      failedAtMs: 0,
    });
    assert.equal(await store.discard(writeId(entry(3))), true);
    assert.equal(await store.discard(writeId(entry(3))), false);
    assert.equal(await store.find(writeId(entry(3))), undefined);
    assert.equal(await store.count(), 4);
  });

  test("a dead letter replayed is stored as it was accepted, once however often it is replayed", async ({ store, rows, execute }) => {
    await store.open(SOURCE);
    await execute("create unique index one_row_a_user on user_data (user_id)");
    await store.put(SOURCE, [entry(1, { userId: "u" })]);
    const refused = entry(2, { userId: "u", ts: 2_000, value: "newer" });
    await store.bury(SOURCE, refused, { code: "X", message: "refused" });
    await assert.rejects(store.replay(writeId(refused)), RejectedRowError);
    assert.equal((await store.find(writeId(refused)))?.attempts, 2);
    await execute("drop index one_row_a_user");
    const replays = await Promise.all(Array.from({ length: 4 }, () => store.replay(writeId(refused))));
    assert.deepEqual(replays.filter((user) => user !== undefined), ["u"]);
    assert.equal((await rows()).length, 2);
    assert.deepEqual(await store.latest("u"), refused);
    assert.equal(await store.count(), 0);
  });

  test("an unknown user has no entry", async ({ store }) => {
    await store.open(SOURCE);
    assert.equal(await store.latest("nobody"), undefined);
  });

  test("ids and values come back as they went in", async ({ store }) => {
    await store.open(SOURCE);
    const entries = [
      ...AWKWARD_IDS.map((userId, i) => entry(i + 1, { userId })),
      ...AWKWARD_VALUES.map((value, i) => entry(100 + i, { userId: `value${i}`, value })),
    ];
    await store.put(SOURCE, entries);
    for (const expected of entries) assert.deepEqual(await store.latest(expected.userId), expected);
  });

  test("large numbers come back exactly", async ({ store }) => {
    await store.open(SOURCE);
    const large = entry(2 ** 52, { userId: "u", ts: 2 ** 40, acceptedMs: 2 ** 50 });
    await store.put(SOURCE, [large]);
    assert.deepEqual(await store.latest("u"), large);
    assert.equal(await store.open(SOURCE), 2 ** 52);
  });

  test("the largest batch fits in one put", async ({ store, rows }) => {
    await store.open(SOURCE);
    assert.equal(await store.put(SOURCE, Array.from({ length: 5_000 }, (_, i) => entry(i + 1))), 5_000);
    assert.equal((await rows()).length, 5_000);
  });

  test("rows that another program inserts are read, also with a NULL in them", async ({ store, execute }) => {
    await store.open(SOURCE);
    await execute(
      "insert into user_data(user_id, value, ts) values ('u', 'theirs', 500), ('n', 'no ts', null), ('v', null, 900)",
    );
    assert.deepEqual(await store.latest("u"), {
      userId: "u",
      value: "theirs",
      ts: 500,
      acceptedMs: 0,
      instance: "",
      seq: 0,
    });
    assert.equal((await store.latest("n"))?.value, "no ts");
    assert.equal(await store.latest("v"), undefined);
    await store.put(SOURCE, [entry(1, { userId: "n", ts: 0, value: "with ts" }), entry(2, { userId: "u", ts: 400 })]);
    assert.equal((await store.latest("n"))?.value, "with ts");
    assert.equal((await store.latest("u"))?.value, "theirs");
  });

  test("after close every call is refused", async ({ store }) => {
    await store.open(SOURCE);
    await store.close();
    await assert.rejects(store.latest("u"), /closed/);
    await store.close();
  });
}
