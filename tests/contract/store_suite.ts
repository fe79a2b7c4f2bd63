/** What every Store keeps to, by the words of src/ports/store.ts. */
import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import { StoreRefusesError, StoreWentBackError } from "../../src/errors.ts";
import type { Store } from "../../src/ports/store.ts";
import { entry } from "../support/fakes.ts";
import { assertClosed, type OneStoreUnderTest, SOURCE } from "./store_under_test.ts";

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

export function storeContract(name: string, makeStore: () => Promise<OneStoreUnderTest>): void {
  const test = (behaviour: string, work: (tested: OneStoreUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await makeStore();
      await work(tested);
    });

  test("a new source has mark 0, then the last number put", async ({ store }) => {
    assert.equal(await store.open(SOURCE), 0);
    assert.deepEqual(await store.put(SOURCE, [entry(1), entry(2)], 0), { rows: 2, dead: [] });
    assert.equal(await store.open(SOURCE), 2);
  });

  test("of a batch put again only what is new is written", async ({ store, rows }) => {
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

  test("nothing is written without the source's mark", async ({ store, rows }) => {
    await store.open("another/1");
    await assert.rejects(store.put(SOURCE, [entry(1)], 0), /mark/);
    assert.equal((await rows()).length, 0);
  });

  test("a store that went back says so, and writes nothing", async ({ store, rows, setMarks }) => {
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1), entry(2)], 0);
    await setMarks(1);
    await assert.rejects(store.put(SOURCE, [entry(3)], 2), StoreWentBackError);
    await setMarks(undefined);
    await assert.rejects(store.put(SOURCE, [entry(3)], 2), StoreWentBackError);
    assert.equal((await rows()).length, 2);
    assert.equal(await store.open(SOURCE), 0);
  });

  test("the newest wins by ts, then acceptance, then run, then number", async ({ store }) => {
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

  test("refused rows are dead, their neighbours stored", async (tested) => {
    const { store, buried, rows, refuse } = tested;
    await store.open(SOURCE);
    await refuse("a second row of a user");
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
    const [letter] = await buried();
    assert.deepEqual([letter?.value, letter?.code], ["twice", dead[0]!.code]);
    assert.equal(await store.open(SOURCE), 5);
    assert.equal((await store.latest("u"))?.seq, 1);
  });

  test("a batch put again tells again what is dead", async ({ store, buried, refuse }) => {
    await store.open(SOURCE);
    await refuse("a second row of a user");
    const batch = [entry(1, { userId: "u" }), entry(2, { userId: "u" }), entry(3)];
    const first = await store.put(SOURCE, batch, 0);
    const again = await store.put(SOURCE, batch, 0);
    assert.deepEqual([first.rows, again.rows], [2, 0]);
    assert.deepEqual(first.dead.map(({ seq }) => seq), [2]);
    assert.deepEqual(again.dead, first.dead);
    assert.equal((await buried()).length, 1);
  });

  test("a lone row is refused for itself", async ({ store, rows, refuse }) => {
    await store.open(SOURCE);
    await refuse("a second row of a user");
    await store.put(SOURCE, [entry(1, { userId: "u" })], 0);
    const { dead } = await store.put(SOURCE, [entry(2, { userId: "u" })], 1);
    assert.deepEqual(dead.map(({ seq }) => seq), [2]);
    assert.equal((await rows()).length, 1);
  });

  test("where all are refused alike nothing is dead", async ({ store, buried, rows, refuse }) => {
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1)], 0);
    const mend = await refuse("every row");
    const batch = Array.from({ length: 300 }, (_, i) => entry(i + 2));
    await assert.rejects(store.put(SOURCE, batch, 1), StoreRefusesError);
    await assert.rejects(store.put(SOURCE, [entry(2)], 1), StoreRefusesError);
    assert.deepEqual([(await rows()).length, (await buried()).length, await store.open(SOURCE)], [
      1,
      0,
      1,
    ]);
    await mend();
    assert.equal((await store.put(SOURCE, batch, 1)).rows, 300);
  });

  test("a trigger's refusal of one row is a dead letter", async ({ store, refuse }) => {
    await store.open(SOURCE);
    await refuse("the value bad");
    const batch = Array.from(
      { length: 200 },
      (_, i) => entry(i + 1, { value: i === 77 ? "bad" : "good" }),
    );
    const { rows: stored, dead } = await store.put(SOURCE, batch, 0);
    assert.deepEqual([stored, dead.map(({ seq }) => seq)], [199, [78]]);
    assert.match(dead[0]!.message, /no bad values/);
  });

  test("a row that vanishes silently is a dead letter", async ({ store, rows, refuse }) => {
    await store.open(SOURCE);
    await refuse("the value bad, without a word");
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

  test("rows of another program are read, also with a NULL", async ({ store, insert }) => {
    await store.open(SOURCE);
    await insert([
      { user_id: "u", value: "theirs", ts: 500 },
      { user_id: "n", value: "no ts", ts: null },
      { user_id: "v", value: null, ts: 900 },
    ]);
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

  test("after close every call is refused, and closing again is no error", async ({ store }) => {
    await store.open(SOURCE);
    await store.close();
    await assertClosed<keyof Omit<Store, "close">>({
      open: () => store.open(SOURCE),
      put: () => store.put(SOURCE, [entry(1)], 0),
      marks: () => store.marks([SOURCE]),
      latest: () => store.latest("u"),
      ping: () => store.ping(),
    });
    await store.close();
  });
}
