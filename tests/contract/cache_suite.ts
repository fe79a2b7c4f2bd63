/**
 * What every cache owes its callers, as the words of the port `Cache` say. Run by cache_test.ts
 * over all of them.
 */
import assert from "node:assert/strict";
import { compareVersions, type Entry } from "../../src/domain.ts";
import type { Cache } from "../../src/ports/cache.ts";
import { eventually } from "../support/dsproxy.ts";
import { entry } from "../support/fakes.ts";
import { fillIn, offer } from "../support/fill_in.ts";

export interface CacheUnderTest {
  readonly cache: Cache;
  /** Another instance that shares its entries, if such a cache is shared. */
  readonly peer: Cache | undefined;
}

const LONG_TTL_MS = 60_000;

/**
 * @param makeCache gives an empty cache; the suite closes it
 * @param expires false for one that tests keep by themselves
 */
export function cacheContract(
  name: string,
  makeCache: (ttlMs: number) => CacheUnderTest,
  { expires = true }: { readonly expires?: boolean } = {},
): void {
  const test = (
    behaviour: string,
    run: (cache: Cache, peer: Cache) => Promise<void>,
    ttlMs = LONG_TTL_MS,
  ) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      const { cache, peer } = makeCache(ttlMs);
      try {
        await cache.token();
        await run(cache, peer ?? cache);
      } finally {
        await cache.close();
        await peer?.close();
      }
    });

  test("an unknown user is a miss", async (cache) => {
    assert.equal(await cache.get("nobody"), undefined);
  });

  test(
    "entries come back unchanged, whatever their id and value, and however often they are read",
    async (cache, peer) => {
      const entries = AWKWARD_TEXTS.map((text, index) =>
        entry(index + 1, { userId: text === "" ? "empty" : text.slice(0, 100), value: text })
      );
      await fillIn(cache, entries);
      for (const reader of [cache, cache, peer]) {
        for (const expected of entries) {
          const found = await reader.get(expected.userId);
          assert.deepEqual(found && { entry: found.entry, complete: found.complete }, {
            entry: expected,
            complete: true,
          });
        }
      }
    },
  );

  test("users whose names resemble each other do not share an entry", async (cache) => {
    const users = ["a", "{a}", "{a", "a}", "a}b", "{a}b", "{}a", "A", "a ", " a", "{{a}}"];
    await cache.update(
      users.map((userId, index) => entry(index + 1, { userId, value: userId })),
    );
    for (const userId of users) assert.equal((await cache.get(userId))?.entry.value, userId);
  });

  test(
    "rows that others inserted, without acceptance time and instance, come back unchanged",
    async (cache, peer) => {
      const foreign = entry(0, { userId: "u", ts: 0, acceptedMs: 0, run: "", seq: 0 });
      await fillIn(cache, [foreign]);
      for (const reader of [cache, cache, peer]) {
        assert.deepEqual(
          (await reader.get("u"))?.entry,
          foreign,
        );
      }
    },
  );

  test("the newest version wins, in whichever order and whatever decides", async (cache) => {
    for (const [index, older] of ASCENDING.slice(0, -1).entries()) {
      const newer = ASCENDING[index + 1]!;
      assert.ok(compareVersions(older, newer) < 0);
      for (
        const [userId, order] of [[`up${index}`, [older, newer]], [`down${index}`, [
          newer,
          older,
        ]]] as const
      ) {
        for (const version of order) {
          await cache.update([{ ...version, userId }]);
          await cache.get(userId); // May leave a copy, which must not outlive the next write.
        }
        assert.deepEqual((await cache.get(userId))?.entry, { ...newer, userId });
      }
    }
  });

  test(
    "of several entries of a user in one call the newest is kept, and no user is left " +
      "out",
    async (cache) => {
      const users = Array.from({ length: 700 }, (_, index) => `user${index}`);
      const offered = users.flatMap((userId, index) =>
        [2, 3, 1].map((ts) => entry(index * 3 + ts, { userId, ts }))
      );
      await cache.update(offered);
      for (const [index, userId] of users.entries()) {
        assert.equal((await cache.get(userId))?.entry.seq, index * 3 + 3, userId);
      }
    },
  );

  test("an empty call is no fault", async (cache) => {
    await fillIn(cache, []);
  });

  test("calls that run at the same time, in any order, leave the newest", async (cache, peer) => {
    const random = seededRandom(20_240_607);
    const users = ["a", "b", "c", "d", "e"];
    const writes = Array.from(
      { length: 400 },
      (_, index) =>
        entry(index + 1, {
          userId: users[index % users.length]!,
          ts: Math.floor(random() * 50),
          value: `v${index}`,
        }),
    );
    const calls: Promise<unknown>[] = [];
    for (const [index, write] of shuffled(writes, random).entries()) {
      const instance = index % 2 === 0 ? cache : peer;
      calls.push(offer(instance, write, random() < 0.3));
      calls.push(Promise.resolve(instance.get(write.userId)));
    }
    await Promise.all(calls);
    for (const userId of users) {
      const newest = writes.filter((write) => write.userId === userId).sort(compareVersions).at(-1);
      assert.deepEqual((await cache.get(userId))?.entry, newest);
      await eventually(
        "the peer has it too",
        async () => (await peer.get(userId))?.entry.seq === newest!.seq,
      );
    }
  });

  const [older, newer] = [entry(1, { userId: "u", ts: 1 }), entry(2, { userId: "u", ts: 2 })];
  const state = async (cache: Cache) => {
    const found = await cache.get("u");
    return found && [found.entry.seq, found.complete];
  };

  test("a write for a user who is not there is stored as not complete", async (cache) => {
    await cache.update([older]);
    assert.deepEqual(await state(cache), [1, false]);
  });

  test(
    "a newer write over a complete entry stays complete, over an incomplete one " +
      "incomplete",
    async (cache) => {
      await cache.update([older]);
      await cache.update([newer]);
      assert.deepEqual(await state(cache), [2, false]);
      await fillIn(cache, [newer]);
      await cache.update([{ ...newer, seq: 3 }]);
      assert.deepEqual(await state(cache), [3, true]);
    },
  );

  test("an older write changes nothing", async (cache) => {
    for (const complete of [false, true]) {
      await offer(cache, newer, complete);
      await cache.update([older]);
      assert.deepEqual(await state(cache), [2, complete]);
    }
  });

  test(
    "what was read from the store completes the entry that is there, without replacing " +
      "a newer one",
    async (cache) => {
      await cache.update([newer]);
      assert.deepEqual(await state(cache), [2, false]);
      await fillIn(cache, [older]);
      assert.deepEqual(await state(cache), [2, true]);
    },
  );

  test("the same entry offered again as complete becomes complete, and stays so", async (cache) => {
    for (const complete of [false, true, false]) await offer(cache, older, complete);
    assert.deepEqual(await state(cache), [1, true]);
  });

  test(
    "what a look-up found is not taken once the store has got other entries since",
    async (cache, peer) => {
      const tokens = [await cache.token(), await peer.token()];
      await cache.update([entry(7, { userId: "another" })], true);
      assert.equal(await cache.fill([older], tokens[0]!), false);
      assert.equal(await peer.fill([older], tokens[1]!), false);
      assert.equal(await state(cache), undefined);
      assert.equal(await fillIn(peer, [older]), true, "a look-up that began later");
      assert.deepEqual(await state(cache), [1, true]);
    },
  );

  test("entries that the store does not have yet outdate no look-up", async (cache) => {
    const token = await cache.token();
    await cache.update([newer]);
    assert.equal(await cache.fill([older], token!), true);
    assert.deepEqual(await state(cache), [2, true]);
  });

  test("a forgotten user is a miss, and an older entry may come after", async (cache) => {
    await fillIn(cache, [newer, entry(9, { userId: "v" })]);
    await cache.forget("u");
    await cache.forget("nobody");
    assert.equal(await cache.get("u"), undefined);
    assert.equal((await cache.get("v"))?.entry.seq, 9);
    await cache.update([older]);
    assert.equal((await cache.get("u"))?.entry.seq, 1);
  });

  if (!expires) return;
  test("entries expire, while they are read too", async (cache) => {
    const users = Array.from({ length: 50 }, (_, index) => `user${index}`);
    await fillIn(cache, users.map((userId, index) => entry(index + 1, { userId })));
    const read = () => Promise.all(users.map((userId) => cache.get(userId)));
    await read(); // May leave copies, which expire likewise.
    await eventually(
      "all are forgotten",
      async () => (await read()).every((found) => found === undefined),
    );
  }, 100);
}

const AWKWARD_TEXTS = [
  "",
  "plain",
  "__proto__",
  "constructor",
  `"quoted" 'twice' \\ back\\\\slash`,
  "two\r\nlines\n",
  "\t \u0001\u007f",
  "*3\r\n$3\r\nGET",
  "ünïcödé 漢字",
  "👩‍👩‍👧 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
  "\uFEFFwith a byte order mark",
  "é vs e\u0301",
  "{tag}rest",
  "x".repeat(256 * 1024),
  "😀".repeat(64 * 1024),
];

/** Each decides by one more column of the order; instance ids by the bytes of their text. */
const ASCENDING: readonly Entry[] = [
  entry(0, { ts: 9, acceptedMs: 0, run: "", seq: 0 }),
  entry(5, { ts: 10, acceptedMs: 9, run: "zzzzzzzzzzzz" }),
  entry(4, { ts: 10, acceptedMs: 10, run: "" }),
  entry(9, { ts: 10, acceptedMs: 10, run: "000000000000" }),
  entry(8, { ts: 10, acceptedMs: 10, run: "9aaaaaaaaaaa" }),
  entry(7, { ts: 10, acceptedMs: 10, run: "a00000000000" }),
  entry(6, { ts: 10, acceptedMs: 10, run: "aa0000000000" }),
  entry(5, { ts: 10, acceptedMs: 10, run: "ch0000000000" }),
  entry(4, { ts: 10, acceptedMs: 10, run: "cz0000000000" }),
  entry(9, { ts: 10, acceptedMs: 10, run: "cz0000000000" }),
  entry(10, { ts: 10, acceptedMs: 10, run: "cz0000000000" }),
  entry(Number.MAX_SAFE_INTEGER, { ts: 10, acceptedMs: 10, run: "cz0000000000" }),
  entry(1, { ts: 1_700_000_000, acceptedMs: 1, run: "000000000000" }),
  entry(1, { ts: Number.MAX_SAFE_INTEGER, acceptedMs: 1, run: "000000000000" }),
];

/** Mulberry32: the same numbers on every run. */
function seededRandom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const keyed = items.map((item) => ({ item, key: random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
