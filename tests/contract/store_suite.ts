/** What every Store keeps to, by the words of src/ports.ts. */
import assert from "node:assert/strict";
import { type Entry, writeId } from "../../src/domain.ts";
import { RejectedRowError, StoreRefusesError, StoreWentBackError } from "../../src/errors.ts";
import type { DeadLetters } from "../../src/ports/dead_letters.ts";
import type { Store } from "../../src/ports/store.ts";
import type { StoreIdentity } from "../../src/ports/store_identity.ts";
import { entry } from "../support/fakes.ts";

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store & StoreIdentity & DeadLetters;
  /** Every row there is, in no order. */
  rows(): Promise<
    readonly {
      readonly user_id: string | null;
      readonly value: string | null;
      readonly ts: number | null;
    }[]
  >;
  /** What another program might do. */
  execute(sql: string): Promise<void>;
  /** Statements with which the table takes no row at all any more, and takes them again. */
  readonly refuseAll: { readonly on: string; readonly off: string };
  /** A trigger that refuses the value `bad`, saying `no bad values`. */
  readonly refuseBad: string;
  /** A trigger that leaves out the value `bad` without an error. */
  readonly vanishBad: string;
}

const SOURCE = "instance0001/run1";
const ONE_ROW_A_USER = "create unique index one_row_a_user on user_data (user_id)";
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
    assert.deepEqual(await store.put(SOURCE, [entry(1), entry(2)], 0), { rows: 2, dead: [] });
    assert.equal(await store.open(SOURCE), 2);
  });

  test("a batch put again writes nothing, one that overlaps only what is new", async ({ store, rows }) => {
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1), entry(2)], 0);
    assert.deepEqual(await store.put(SOURCE, [entry(1), entry(2)], 2), { rows: 0, dead: [] });
    assert.equal((await store.put(SOURCE, [entry(2), entry(3), entry(4)], 2)).rows, 2);
    assert.deepEqual((await rows()).map(({ user_id }) => user_id).sort(), [
      "user1",
      "user2",
      "user3",
      "user4",
    ]);
    assert.equal(await store.open(SOURCE), 4);
  });

  test("the same batch put many times at once is written once", async ({ store, rows }) => {
    await store.open(SOURCE);
    const entries = Array.from({ length: 100 }, (_, i) => entry(i + 1));
    const written = await Promise.all(
      Array.from({ length: 6 }, () => store.put(SOURCE, entries, 0)),
    );
    assert.equal(written.reduce((sum, { rows }) => sum + rows, 0), 100);
    assert.equal((await rows()).length, 100);
  });

  test("sources are independent of each other", async ({ store, rows }) => {
    for (const source of ["a/1", "a/2", "b/1"]) {
      await store.open(source);
      await store.put(source, [entry(1)], 0);
    }
    assert.equal((await rows()).length, 3);
    assert.equal(await store.open("a/3"), 0);
  });

  test("marks are told of the sources that have one, and asking makes none", async ({ store }) => {
    assert.deepEqual(await store.marks(["a/1", "b/1"]), new Map());
    assert.deepEqual(await store.marks(["a/1"]), new Map(), "asking has made a mark");
    await store.open("a/1");
    await store.open("b/1");
    await store.open("c/1");
    await store.put("a/1", [entry(1), entry(7)], 0);
    const asked = await store.marks(["a/1", "b/1", "'; drop table dsproxy_marks; --"]);
    assert.deepEqual(asked, new Map([["a/1", 7], ["b/1", 0]]));
    assert.deepEqual(await store.marks([]), new Map());
  });

  test("marks are told of many sources at once", async ({ store }) => {
    const sources = Array.from({ length: 1_000 }, (_, i) => `instance0001/run${i}`);
    for (const source of sources.slice(0, 3)) await store.open(source);
    assert.deepEqual([...(await store.marks(sources)).keys()].sort(), sources.slice(0, 3));
  });

  test("putting without the source's mark is refused and writes nothing", async ({ store, rows }) => {
    await store.open("another/1");
    await assert.rejects(store.put(SOURCE, [entry(1)], 0), /mark/);
    assert.equal((await rows()).length, 0);
  });

  test("a store that went back says so, and writes nothing", async ({ store, rows, execute }) => {
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1), entry(2)], 0);
    await execute("update dsproxy_marks set seq = 1");
    await assert.rejects(store.put(SOURCE, [entry(3)], 2), StoreWentBackError);
    await execute("delete from dsproxy_marks");
    await assert.rejects(store.put(SOURCE, [entry(3)], 2), StoreWentBackError);
    assert.equal((await rows()).length, 2);
    assert.equal(await store.open(SOURCE), 0);
  });

  test("it has one identity, and a new cache generation each time that copies are outdated", async ({ store }) => {
    const first = await store.identify();
    assert.match(first.id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(await store.identify(), first);
    const second = await store.outdateCopies();
    assert.equal(second.id, first.id);
    assert.notEqual(second.cacheGeneration, first.cacheGeneration);
    assert.deepEqual(await store.identify(), second);
  });

  test("the newest entry wins by ts, then acceptance, then instance, then number", async ({ store }) => {
    await store.open(SOURCE);
    const u = (seq: number, fields: Partial<Entry>) =>
      entry(seq, { userId: "u", value: `v${seq}`, ...fields });
    const inOrder: Entry[] = [
      u(1, { ts: 10, acceptedMs: 99 }),
      u(2, { ts: 11, acceptedMs: 1, run: "aaaaaaaaaaaa" }),
      u(3, { ts: 11, acceptedMs: 2, run: "aaaaaaaaaaaa" }),
      u(4, { ts: 11, acceptedMs: 2, run: "aaaaaaaaaaab" }),
      u(5, { ts: 11, acceptedMs: 2, run: "aaaaaaaaaaab" }),
    ];
    for (const [i, next] of inOrder.entries()) {
      await store.put(SOURCE, [next], 0);
      assert.deepEqual(await store.latest("u"), next, `after ${i + 1}`);
    }
    await store.put(SOURCE, [u(6, { ts: 5, acceptedMs: 1_000 })], 0);
    assert.deepEqual(await store.latest("u"), inOrder.at(-1));
  });

  test("an older entry that comes late is kept", async ({ store, rows }) => {
    await store.open(SOURCE);
    await store.put(
      SOURCE,
      [entry(1, { userId: "u", ts: 10 }), entry(2, { userId: "u", ts: 5 })],
      0,
    );
    assert.deepEqual((await rows()).map(({ ts }) => Number(ts)).sort(), [10, 5]);
  });

  test("refused rows go to the dead letters with their reason, their neighbours are stored, and the mark moves past all", async ({ store, rows, execute }) => {
    await store.open(SOURCE);
    await execute(ONE_ROW_A_USER);
    await store.put(SOURCE, [entry(1, { userId: "u" })], 0);
    const batch = [
      entry(2, { userId: "u", value: "twice" }),
      entry(3),
      entry(4, { userId: "u" }),
      entry(5),
    ];
    const { rows: stored, dead } = await store.put(SOURCE, batch, 1);
    assert.deepEqual([stored, dead.map(({ seq }) => seq)], [2, [2, 4]]);
    assert.ok(
      dead.every(({ code, message }) => code !== "" && /unique/i.test(message)),
      JSON.stringify(dead),
    );
    assert.deepEqual((await rows()).map(({ user_id }) => user_id).sort(), ["u", "user3", "user5"]);
    const letter = await store.find(writeId(batch[0]!));
    assert.deepEqual([letter?.value, letter?.code], ["twice", dead[0]!.code]);
    assert.equal(await store.open(SOURCE), 5);
    assert.equal((await store.latest("u"))?.seq, 1);
  });

  test("a batch put again after its answer was lost tells again which of it are dead letters", async ({ store, execute }) => {
    await store.open(SOURCE);
    await execute(ONE_ROW_A_USER);
    const batch = [entry(1, { userId: "u" }), entry(2, { userId: "u" }), entry(3)];
    const first = await store.put(SOURCE, batch, 0);
    const again = await store.put(SOURCE, batch, 0);
    assert.deepEqual([first.rows, again.rows], [2, 0]);
    assert.deepEqual(first.dead.map(({ seq }) => seq), [2]);
    assert.deepEqual(again.dead, first.dead);
    assert.equal(await store.count(), 1);
  });

  test("a lone row is refused for itself where others would go in", async ({ store, execute, rows }) => {
    await store.open(SOURCE);
    await execute(ONE_ROW_A_USER);
    await store.put(SOURCE, [entry(1, { userId: "u" })], 0);
    const { dead } = await store.put(SOURCE, [entry(2, { userId: "u" })], 1);
    assert.deepEqual(dead.map(({ seq }) => seq), [2]);
    assert.equal((await rows()).length, 1);
  });

  test("where every row is refused alike it is the table: nothing is dead, and all goes in once that is mended", async ({ store, rows, execute, refuseAll }) => {
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1)], 0);
    await execute(refuseAll.on);
    const batch = Array.from({ length: 300 }, (_, i) => entry(i + 2));
    await assert.rejects(store.put(SOURCE, batch, 1), StoreRefusesError);
    await assert.rejects(store.put(SOURCE, [entry(2)], 1), StoreRefusesError);
    assert.deepEqual([(await rows()).length, await store.count(), await store.open(SOURCE)], [
      1,
      0,
      1,
    ]);
    await execute(refuseAll.off);
    assert.equal((await store.put(SOURCE, batch, 1)).rows, 300);
  });

  test("a trigger's refusal of one row is a dead letter, whatever it calls it", async ({ store, execute, refuseBad }) => {
    await store.open(SOURCE);
    await execute(refuseBad);
    const batch = Array.from(
      { length: 200 },
      (_, i) => entry(i + 1, { value: i === 77 ? "bad" : "good" }),
    );
    const { rows: stored, dead } = await store.put(SOURCE, batch, 0);
    assert.deepEqual([stored, dead.map(({ seq }) => seq)], [199, [78]]);
    assert.match(dead[0]!.message, /no bad values/);
  });

  test("a row that a trigger lets vanish without a word is a dead letter, too", async ({ store, rows, execute, vanishBad }) => {
    await store.open(SOURCE);
    await execute(vanishBad);
    const batch = Array.from(
      { length: 200 },
      (_, i) => entry(i + 1, { value: i % 50 === 7 ? "bad" : "good" }),
    );
    const { rows: stored, dead } = await store.put(SOURCE, batch, 0);
    assert.deepEqual([stored, dead.map(({ seq }) => seq), (await rows()).length], [196, [
      8,
      58,
      108,
      158,
    ], 196]);
    assert.match(dead[0]!.message, /lets the row vanish/);
  });

  test("dead letters are counted, listed in pages, found, and discarded", async ({ store, execute }) => {
    await store.open(SOURCE);
    assert.equal(await store.count(), 0);
    await execute(ONE_ROW_A_USER);
    const batch = Array.from({ length: 5 }, (_, i) => entry(i + 1, { userId: "u", value: "é'\n" }));
    await execute("insert into user_data (user_id, value, ts) values ('u', 'theirs', 1)");
    const [reason] = (await store.put(SOURCE, batch, 0)).dead;
    assert.equal(await store.count(), 5);
    const first = await store.list(2);
    const second = await store.list(2, first.at(-1));
    const third = await store.list(2, second.at(-1));
    assert.deepEqual([first, second, third].map((page) => page.map(({ seq }) => seq)), [[1, 2], [
      3,
      4,
    ], [5]]);
    const found = await store.find(writeId(entry(3)));
    assert.ok(found !== undefined && Math.abs(found.failedAtMs - Date.now()) < 3_600_000);
    assert.deepEqual({ ...found, failedAtMs: 0 }, {
      ...batch[2],
      ...reason,
      seq: 3,
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
    await execute(ONE_ROW_A_USER);
    const refused = entry(2, { userId: "u", ts: 2_000, value: "newer" });
    await store.put(SOURCE, [entry(1, { userId: "u" }), refused], 0);
    await assert.rejects(store.replay(writeId(refused)), RejectedRowError);
    assert.equal((await store.find(writeId(refused)))?.attempts, 2);
    await execute("drop index one_row_a_user");
    const replays = await Promise.all(
      Array.from({ length: 4 }, () => store.replay(writeId(refused))),
    );
    assert.deepEqual(replays.filter((replayed) => replayed !== undefined), [refused]);
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
    await store.put(SOURCE, entries, 0);
    for (const expected of entries) assert.deepEqual(await store.latest(expected.userId), expected);
  });

  test("large numbers come back exactly", async ({ store }) => {
    await store.open(SOURCE);
    const large = entry(2 ** 52, { userId: "u", ts: 2 ** 40, acceptedMs: 2 ** 50 });
    await store.put(SOURCE, [large], 0);
    assert.deepEqual(await store.latest("u"), large);
    assert.equal(await store.open(SOURCE), 2 ** 52);
  });

  test("the largest batch fits in one put", async ({ store, rows }) => {
    await store.open(SOURCE);
    assert.equal(
      (await store.put(SOURCE, Array.from({ length: 5_000 }, (_, i) => entry(i + 1)), 0)).rows,
      5_000,
    );
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
      run: "",
      seq: 0,
    });
    assert.equal((await store.latest("n"))?.value, "no ts");
    assert.equal(await store.latest("v"), undefined);
    await store.put(
      SOURCE,
      [entry(1, { userId: "n", ts: 0, value: "with ts" }), entry(2, { userId: "u", ts: 400 })],
      0,
    );
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
