import assert from "node:assert/strict";
import { compareVersions, type Entry } from "../../src/domain.ts";
import { Pending } from "../../src/intake/pending.ts";
import { NONE, SlotTable } from "../../src/intake/slot_table.ts";
import { UserKey } from "../../src/intake/user_key.ts";
import { entry } from "../support/fakes.ts";
import { Random } from "../support/random.ts";

Deno.test("users whose hashes are the same are told apart, also when others among them go", () => {
  const table = new SlotTable();
  const keys = ["a", "b", "c", "d", "e"].map((userId) => {
    const key = new UserKey();
    key.set(userId);
    key.hash = 7;
    return key;
  });
  const slots = keys.map((key, i) => {
    table.reserve(key);
    const slot = table.add(entry(i + 1), 0);
    table.addUser(key, slot);
    return slot;
  });
  assert.deepEqual(keys.map((key) => table.find(key)), slots);
  table.removeUser(slots[1]!);
  table.give(slots[1]!);
  assert.deepEqual(keys.map((key) => table.find(key)), slots.with(1, NONE));
});

Deno.test("each start of the process finds users by other hashes", () => {
  const [one, other] = [new UserKey(), new UserKey()];
  for (const key of [one, other]) key.set("user");
  assert.notEqual(one.hash, other.hash);
});

Deno.test("the hash is HalfSipHash-1-3", () => {
  // The keys and the answers are those of a plain reading of the paper, in 64-bit integers.
  const seed = new Int32Array([0x03020100, 0x07060504]);
  const key = new UserKey(seed);
  for (const userId of ["", "a", "abcd", "user-12345", "ä€😀", "x".repeat(5_000)]) {
    key.set(userId);
    assert.equal(key.hash >>> 0, halfSipHash(new TextEncoder().encode(userId), seed), userId);
  }
});

function halfSipHash(bytes: Uint8Array, [k0, k1]: Int32Array): number {
  const mask = 0xffffffffn;
  const rotated = (x: bigint, by: bigint) => ((x << by) | (x >> (32n - by))) & mask;
  const v = [BigInt(k0! >>> 0), BigInt(k1! >>> 0), 0x6c796765n, 0x74656462n];
  v[2]! ^= v[0]!;
  v[3]! ^= v[1]!;
  const round = () => {
    v[0] = (v[0]! + v[1]!) & mask;
    v[1] = rotated(v[1]!, 5n) ^ v[0]!;
    v[0] = rotated(v[0]!, 16n);
    v[2] = (v[2]! + v[3]!) & mask;
    v[3] = rotated(v[3]!, 8n) ^ v[2]!;
    v[0] = (v[0]! + v[3]!) & mask;
    v[3] = rotated(v[3]!, 7n) ^ v[0]!;
    v[2] = (v[2]! + v[1]!) & mask;
    v[1] = rotated(v[1]!, 13n) ^ v[2]!;
    v[2] = rotated(v[2]!, 16n);
  };
  const words = bytes.length >>> 2;
  for (let word = 0; word <= words; word++) {
    let m = word === words ? BigInt(bytes.length & 0xff) << 24n : 0n;
    for (let i = 0; i < 4 && word * 4 + i < bytes.length; i++) {
      m |= BigInt(bytes[word * 4 + i]!) << BigInt(8 * i);
    }
    v[3]! ^= m;
    round();
    v[0]! ^= m;
  }
  v[2]! ^= 0xffn;
  for (let i = 0; i < 3; i++) round();
  return Number(v[1]! ^ v[3]!);
}

/** Knows all that is not settled, and says what counts. */
class PlainPending {
  entries: Entry[] = [];

  newest(userId: string): Entry | undefined {
    return this.entries.filter((each) => each.userId === userId).sort(compareVersions).at(-1);
  }
}

Deno.test("ten thousand users come and go, and always the newest of each counts", async () => {
  const random = new Random(1);
  const plain = new PlainPending();
  const pending = new Pending(
    (run, seq) => Promise.resolve(plain.entries.find((e) => e.run === run && e.seq === seq)),
    2_000,
  );
  let seq = 0;
  for (const users of [50, 3_000, 10_000, 20]) {
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < users / 10; i++) {
        const userId = `${"ü".repeat(random.below(40))}${random.below(users)}`;
        // Only one that is older and accepted earlier gets no place here.
        const added = entry(++seq, { userId, ts: seq, acceptedMs: seq });
        plain.entries.push(added);
        pending.addDurable(added);
      }
      const batch = plain.entries.slice(0, random.below(users / 5));
      if (batch.length > 0) {
        plain.entries = plain.entries.slice(batch.length);
        pending.settle(batch, batch.at(-1)!.seq);
      }
      for (const { userId } of [...batch.slice(0, 20), ...plain.entries.slice(-20)]) {
        assert.deepEqual(await pending.get(userId), plain.newest(userId));
      }
      assert.equal(pending.users, new Set(plain.entries.map((each) => each.userId)).size);
    }
  }
});
