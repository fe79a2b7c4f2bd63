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

Deno.test(
  "past the budget a durable value is read back from the queue instead of being " +
    "held",
  async () => {
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
  },
);

Deno.test(
  "a value that is not durable yet is held whatever the budget, and let go once " +
    "it is",
  async () => {
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
  },
);

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

Deno.test(
  "a settled entry uncovers those accepted later with an older version: the " +
    "store may have refused it",
  async () => {
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
  },
);

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

Deno.test(
  "a settlement lets go of its own run's entries, though another run has the " +
    "same numbers",
  async () => {
    const pending = new Pending(noQueue);
    const older = entry(5, { userId: "u", run: "run000000001", acceptedMs: 10 });
    const newer = entry(1, { userId: "u", run: "run000000002", acceptedMs: 20 });
    pending.addDurable(older);
    pending.addDurable(newer);
    pending.settle([older], 5);
    assert.equal((await pending.get("u"))?.run, "run000000002");
    pending.settle([newer], 1);
    assert.equal(pending.users, 0);
  },
);

Deno.test(
  "an entry that is unsettled again does not cover one that is settled later: " +
    "the store may refuse it",
  async () => {
    const later = entry(1, { userId: "u", run: "run000000002", acceptedMs: 20, ts: 100 });
    const again = entry(5, { userId: "u", run: "run000000001", acceptedMs: 10, ts: 200 });
    const pending = new Pending((run) => Promise.resolve(run === later.run ? later : again));
    pending.addDurable(later);
    pending.addDurable(again);
    assert.deepEqual(await pending.get("u"), again);
    pending.settle([again], 5);
    assert.deepEqual(await pending.get("u"), later);
    pending.settle([later], 1);
    assert.equal(pending.users, 0);
  },
);

Deno.test(
  "an entry that is unsettled again and older than what is settled later needs " +
    "no place",
  async () => {
    const asked: number[] = [];
    const pending = new Pending((_, seq) => {
      asked.push(seq);
      return Promise.resolve(undefined);
    }, 0);
    pending.addDurable(entry(7, { userId: "u", ts: 200 }));
    pending.addDurable(entry(3, { userId: "u", ts: 100 }));
    await pending.get("u");
    assert.deepEqual(asked, [7]);
  },
);

Deno.test(
  "values that were let go of make room for others, also those behind a newer " +
    "entry",
  async () => {
    const [behind, front, next] = [
      entry(2, { userId: "u", ts: 100, value: "x".repeat(40) }),
      entry(1, { userId: "u", ts: 200, value: "y" }),
      entry(3, { userId: "other", value: "z".repeat(40) }),
    ] as [Entry, Entry, Entry];
    const pending = new Pending(noQueue, 100);
    pending.addDurable(behind);
    pending.addDurable(front);
    pending.settle([front, behind], 2);
    assert.equal(pending.users, 0);
    pending.addDurable(next);
    assert.equal((await pending.get("other"))?.value, next.value);
  },
);

Deno.test("the value of an entry that the journal told of is read from the journal", async () => {
  const asked: number[] = [];
  const pending = new Pending((_, seq) => {
    asked.push(seq);
    return Promise.resolve(entry(seq, { userId: "u", value: `value ${seq}` }));
  });
  pending.addFromJournal(entry(1, { userId: "u", value: "value 1" }));
  assert.equal((await pending.get("u"))?.value, "value 1");
  pending.addDurable(entry(2, { userId: "u", value: "value 2" }));
  assert.equal((await pending.get("u"))?.value, "value 2");
  assert.deepEqual(asked, [1], "of what became durable here the value is at hand");
});
