import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import { Pending } from "../../src/intake/pending.ts";
import { entry } from "../support/fakes.ts";

const noQueue = () => Promise.reject(new Error("must not be asked"));

Deno.test("the newest of a user's writes is pending, whatever the order of arrival", async () => {
  const pending = new Pending(noQueue);
  pending.addDurable(entry(1, { userId: "u", ts: 100, value: "new" }));
  pending.addDurable(entry(2, { userId: "u", ts: 50, value: "old" }));
  assert.equal((await pending.get("u"))?.value, "new");
  pending.addDurable(entry(3, { userId: "u", ts: 100, value: "same ts, later" }));
  assert.equal((await pending.get("u"))?.value, "same ts, later");
});

Deno.test("a settled batch is forgotten, but not a newer write of the same user", async () => {
  const pending = new Pending(noQueue);
  const first = entry(1, { userId: "u" });
  const second = entry(2, { userId: "u", value: "second" });
  pending.addDurable(first);
  pending.addDurable(second);
  pending.settle([first], 1);
  assert.equal((await pending.get("u"))?.value, "second");
  pending.settle([second], 2);
  assert.equal(await pending.get("u"), undefined);
  assert.equal(pending.users, 0);
});

Deno.test("past the budget a durable value is read back from the queue instead of being held", async () => {
  const big = entry(2, { userId: "big", value: "x".repeat(100) });
  const asked: number[] = [];
  const pending = new Pending((_, seq) => {
    asked.push(seq);
    return Promise.resolve(big);
  }, 100);
  pending.addDurable(entry(1, { userId: "small", value: "s" }));
  pending.addDurable(big);
  assert.equal((await pending.get("small"))?.value, "s");
  assert.equal((await pending.get("big"))?.value, big.value);
  assert.deepEqual(asked, [2]);
});

Deno.test("a value that is not durable yet is held whatever the budget, and let go once it is", async () => {
  const big = entry(1, { userId: "big", value: "x".repeat(100) });
  let asked = 0;
  const pending = new Pending(() => {
    asked++;
    return Promise.resolve(big);
  }, 10);
  pending.addVolatile(big);
  assert.equal((await pending.get("big"))?.value, big.value);
  assert.equal(asked, 0);
  pending.addDurable(big);
  assert.equal((await pending.get("big"))?.value, big.value);
  assert.equal(asked, 1);
});

Deno.test("user ids are only names", async () => {
  const pending = new Pending(noQueue);
  for (const [i, userId] of ["__proto__", "constructor", "toString", "*"].entries()) {
    assert.equal(await pending.get(userId), undefined);
    pending.addDurable(entry(i + 1, { userId, value: userId }));
    assert.equal((await pending.get(userId))?.value, userId);
  }
});

Deno.test("an entry that never became durable uncovers the one it had hidden", async () => {
  const pending = new Pending(noQueue);
  const [kept, first, second] = [1, 2, 3].map((seq) => entry(seq, { userId: "u" })) as [
    Entry,
    Entry,
    Entry,
  ];
  pending.addDurable(kept);
  pending.addVolatile(first);
  pending.addVolatile(second);
  assert.equal((await pending.get("u"))?.seq, 3);
  pending.withdraw(second);
  assert.equal((await pending.get("u"))?.seq, 2);
  pending.withdraw(first);
  assert.equal((await pending.get("u"))?.seq, 1);
});

Deno.test("a settled entry uncovers those accepted later with an older version: the store may have refused it", async () => {
  const entries = [
    entry(1, { userId: "u", ts: 300 }),
    entry(2, { userId: "u", ts: 100 }),
    entry(3, { userId: "u", ts: 200 }),
  ];
  const pending = new Pending((_, seq) =>
    Promise.resolve(entries.find((each) => each.seq === seq))
  );
  for (const each of entries) pending.addDurable(each);
  assert.equal((await pending.get("u"))?.seq, 1);
  pending.settle([entries[0]!], 1);
  assert.equal((await pending.get("u"))?.seq, 3);
  pending.settle([entries[1]!, entries[2]!], 3);
  assert.equal(await pending.get("u"), undefined);
  assert.equal(pending.users, 0);
});

Deno.test("a value gone from the queue means that the next one counts", async () => {
  const [newer, older] = [entry(1, { userId: "u", ts: 2 }), entry(2, { userId: "u", ts: 1 })];
  const pending = new Pending((_, seq) => Promise.resolve(seq === 2 ? older : undefined), 0);
  pending.addDurable(newer);
  pending.addDurable(older);
  assert.deepEqual(await pending.get("u"), older);
});

Deno.test("whoever writes ever older versions gets no more memory for it", async () => {
  const asked: number[] = [];
  const pending = new Pending((_, seq) => {
    asked.push(seq);
    return Promise.resolve(undefined);
  }, 0);
  for (let seq = 1; seq <= 1_000; seq++) {
    pending.addDurable(entry(seq, { userId: "u", ts: 10_000 - seq }));
  }
  assert.equal(await pending.get("u"), undefined);
  assert.equal(asked.length, 16);
});
