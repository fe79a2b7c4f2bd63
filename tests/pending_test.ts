import assert from "node:assert/strict";
import { Pending } from "../src/pending.ts";
import { entry } from "./support/fakes.ts";

const noQueue = () => Promise.reject(new Error("must not be asked"));

Deno.test("the newest of a user's writes is pending, whatever the order of arrival", async () => {
  const pending = new Pending(noQueue);
  pending.add(entry(1, { userId: "u", ts: 100, value: "new" }), true);
  pending.add(entry(2, { userId: "u", ts: 50, value: "old" }), true);
  assert.equal((await pending.get("u"))?.value, "new");
  pending.add(entry(3, { userId: "u", ts: 100, value: "same ts, later" }), true);
  assert.equal((await pending.get("u"))?.value, "same ts, later");
});

Deno.test("a settled batch is forgotten, but not a newer write of the same user", async () => {
  const pending = new Pending(noQueue);
  const first = entry(1, { userId: "u" });
  const second = entry(2, { userId: "u", value: "second" });
  pending.add(first, true);
  pending.add(second, true);
  pending.settle([first], 1);
  assert.equal((await pending.get("u"))?.value, "second");
  pending.settle([second], 2);
  assert.equal(await pending.get("u"), undefined);
  assert.equal(pending.users, 0);
});

Deno.test("past the budget a durable value is read back from the queue instead of being held", async () => {
  const big = entry(2, { userId: "big", value: "x".repeat(100) });
  const asked: number[] = [];
  const pending = new Pending((seq) => {
    asked.push(seq);
    return Promise.resolve(big);
  }, 100);
  pending.add(entry(1, { userId: "small", value: "s" }), true);
  pending.add(big, true);
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
  pending.add(big, false);
  assert.equal((await pending.get("big"))?.value, big.value);
  assert.equal(asked, 0);
  pending.add(big, true);
  assert.equal((await pending.get("big"))?.value, big.value);
  assert.equal(asked, 1);
});

Deno.test("user ids are only names", async () => {
  const pending = new Pending(noQueue);
  for (const [i, userId] of ["__proto__", "constructor", "toString", "*"].entries()) {
    assert.equal(await pending.get(userId), undefined);
    pending.add(entry(i + 1, { userId, value: userId }), true);
    assert.equal((await pending.get(userId))?.value, userId);
  }
});
