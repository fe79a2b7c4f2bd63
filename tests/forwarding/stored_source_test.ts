import assert from "node:assert/strict";
import { StoredSource } from "../../src/forwarding/stored_source.ts";
import { FakeJournal, RUN } from "../support/fake_journal.ts";

function setUp(isForwarded = (_source: string) => true) {
  const journal = new FakeJournal();
  const marks = new Map<string, number>();
  const rewound: string[] = [];
  const source = new StoredSource({
    source: journal,
    store: { marks: () => Promise.resolve(marks) },
    isForwarded,
    onRewound: () => rewound.push("rewound"),
  });
  const push = (count: number) => {
    for (let i = 0; i < count; i++) journal.push({ userId: "u", value: "v", ts: 1 });
  };
  const takeSeqs = async () => (await source.take(100))?.entries.map(({ seq }) => seq);
  return { journal, marks, rewound, source, push, takeSeqs };
}

Deno.test("what the store does not have is not given out, whatever the broker has", async () => {
  const { source, push, takeSeqs, marks } = setUp();
  push(3);
  assert.equal(await takeSeqs(), undefined);
  assert.equal(source.unsettled, 3);
  marks.set(RUN, 3);
  assert.deepEqual(await takeSeqs(), [1, 2, 3]);
  assert.equal(await takeSeqs(), undefined);
});

Deno.test("of a batch that the store has in part, the rest follows later", async () => {
  const { push, takeSeqs, marks } = setUp();
  push(5);
  marks.set(RUN, 2);
  assert.deepEqual(await takeSeqs(), [1, 2]);
  assert.equal(await takeSeqs(), undefined);
  push(1);
  marks.set(RUN, 6);
  assert.deepEqual(await takeSeqs(), [3, 4, 5]);
  assert.deepEqual(await takeSeqs(), [6]);
});

Deno.test("each batch names the last number that it settles", async () => {
  const { source, push, marks } = setUp();
  push(5);
  marks.set(RUN, 3);
  assert.equal((await source.take(100))?.lastSeq, 3);
  marks.set(RUN, 5);
  assert.equal((await source.take(100))?.lastSeq, 5);
});

Deno.test("a store that lost what it had lets everything be sent once more", async () => {
  const { source, push, takeSeqs, marks, rewound } = setUp();
  push(4);
  marks.set(RUN, 4);
  const batch = await source.take(100);
  await source.settle(batch!);
  marks.set(RUN, 1);
  assert.equal((await source.rewind(RUN, 1)).entries, 3);
  assert.deepEqual(rewound, ["rewound"]);
  await source.open();
  assert.equal(await takeSeqs(), undefined);
  marks.set(RUN, 4);
  assert.deepEqual(await takeSeqs(), [2, 3, 4]);
});

Deno.test("what nobody else brings to the store is given out at once", async () => {
  const { push, takeSeqs } = setUp(() => false);
  push(2);
  assert.deepEqual(await takeSeqs(), [1, 2]);
});
