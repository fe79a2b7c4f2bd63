/** What every GroupStore keeps to, by the words of src/ports/group_store.ts. */
import assert from "node:assert/strict";
import { ForeignGroupError, GroupsOverlapError, StoreRefusesError } from "../../src/errors.ts";
import type { EntryGroup, GroupStore } from "../../src/ports/group_store.ts";
import type { Store } from "../../src/ports/store.ts";
import type { StoreIdentity } from "../../src/ports/store_identity.ts";
import { group, SOURCE } from "../support/groups.ts";
import { Random } from "../support/random.ts";
import type { Tables } from "./store_under_test.ts";

export interface GroupsUnderTest extends Tables {
  readonly groups: GroupStore;
  readonly store: Pick<Store, "marks">;
  readonly identity: Pick<StoreIdentity, "identify">;
}

export function groupStoreContract(
  name: string,
  make: () => Promise<GroupsUnderTest>,
): void {
  const test = (behaviour: string, work: (tested: GroupsUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await make();
      await work(tested);
    });
  const users = async ({ rows }: Tables) => (await rows()).map(({ user_id }) => user_id).sort();
  const usersOf = (...groups: readonly EntryGroup[]) =>
    groups.flatMap(({ entries }) => entries.map(({ userId }) => userId)).sort();

  test("groups may come in any order, and each is there once", async (tested) => {
    const { groups, store } = tested;
    const [a, b, c] = [group(1, 3), group(4, 4), group(5, 9)];
    assert.deepEqual(await groups.apply([c]), { rows: 5, dead: [] });
    assert.deepEqual(await groups.fold(SOURCE), { mark: 0, ahead: true });
    assert.deepEqual(await groups.apply([b, a]), { rows: 4, dead: [] });
    assert.deepEqual(await groups.fold(SOURCE), { mark: 9, ahead: false });
    assert.deepEqual(await store.marks([SOURCE]), new Map([[SOURCE, 9]]));
    assert.deepEqual(await users(tested), usersOf(a, b, c));
  });

  test("a group that is there is left out, folded or not", async (tested) => {
    const { groups } = tested;
    const [a, b, c] = [group(1, 3), group(4, 6), group(7, 9)];
    await groups.apply([a, c]);
    assert.equal((await groups.apply([a, c])).rows, 0);
    await groups.fold(SOURCE);
    assert.equal((await groups.apply([c, a])).rows, 0);
    assert.equal((await groups.apply([a, b, c])).rows, 3);
    assert.equal((await groups.fold(SOURCE)).mark, 9);
    assert.equal((await groups.apply([a, b, c])).rows, 0);
    assert.equal((await groups.fold(SOURCE)).mark, 9);
    assert.deepEqual(await users(tested), usersOf(a, b, c));
  });

  test("a group that is brought twice in one call is there once", async (tested) => {
    assert.equal((await tested.groups.apply([group(1, 3), group(1, 3)])).rows, 3);
    assert.deepEqual(await users(tested), usersOf(group(1, 3)));
  });

  test("no group is no call", async ({ groups }) => {
    assert.deepEqual(await groups.apply([]), { rows: 0, dead: [] });
  });

  test("a group that many bring at once is there once, and folds do not mind", async (tested) => {
    const { groups } = tested;
    const some = [group(1, 40), group(41, 80), group(81, 100)];
    const calls = Array.from({ length: 6 }, () => groups.apply(some));
    const folds = Array.from({ length: 4 }, () => groups.fold(SOURCE));
    const applied = await Promise.all(calls);
    await Promise.all(folds);
    assert.equal(applied.reduce((sum, { rows }) => sum + rows, 0), 100);
    assert.deepEqual(await users(tested), usersOf(...some));
    assert.equal((await groups.fold(SOURCE)).mark, 100);
  });

  test("numbers that never became durable are settled with their group", async (tested) => {
    const { groups } = tested;
    await groups.apply([group(1, 4, SOURCE, [2, 4]), group(5, 7, SOURCE, [5, 6, 7])]);
    assert.equal((await groups.fold(SOURCE)).mark, 7);
    assert.deepEqual(await users(tested), usersOf(group(1, 1), group(3, 3)));
  });

  test("numbers that never come are no gap, wherever they are", async (tested) => {
    const { groups } = tested;
    await groups.apply([group(4, 5), group(9, 9)]);
    assert.deepEqual(await groups.fold(SOURCE), { mark: 0, ahead: true });
    const never = [{ first: 1, last: 3 }, { first: 6, last: 8 }, { first: 20, last: 30 }];
    assert.deepEqual(await groups.fold(SOURCE, never), { mark: 9, ahead: false });
    assert.deepEqual(await groups.fold(SOURCE, [{ first: 2, last: 11 }]), {
      mark: 11,
      ahead: false,
    });
    assert.equal((await groups.apply([group(10, 11)])).rows, 0, "it was called gone");
  });

  test("what was called gone may be there, and is no overlap", async (tested) => {
    const { groups } = tested;
    await groups.apply([group(3, 5), group(9, 10)]);
    const never = [{ first: 1, last: 8 }];
    assert.deepEqual(await groups.fold(SOURCE, never), { mark: 10, ahead: false });
    assert.deepEqual(await groups.fold(SOURCE, never), { mark: 10, ahead: false });
    assert.deepEqual(await users(tested), usersOf(group(3, 5), group(9, 10)));
  });

  test("numbers that were called gone, and came with others, are there once", async (tested) => {
    const { groups } = tested;
    await groups.apply([group(1, 2), group(4, 9), group(12, 14)]);
    const never = [{ first: 3, last: 5 }, { first: 9, last: 11 }, { first: 13, last: 13 }];
    assert.deepEqual(await groups.fold(SOURCE, never), { mark: 14, ahead: false });
    assert.deepEqual(await users(tested), usersOf(group(1, 2), group(4, 9), group(12, 14)));
  });

  test("numbers called gone lead up to what was applied, and no further", async (tested) => {
    const { groups } = tested;
    await groups.apply([group(6, 8)]);
    assert.deepEqual(await groups.fold(SOURCE, [{ first: 1, last: 3 }]), { mark: 3, ahead: true });
    const more = [{ first: 1, last: 20 }];
    assert.deepEqual(await groups.fold(SOURCE, more), { mark: 20, ahead: false });
    await assert.rejects(groups.apply([group(19, 21)]), GroupsOverlapError);
  });

  test("sources are independent of each other, also in one call", async (tested) => {
    const { groups } = tested;
    const [a, b] = [group(1, 3, "run00000000a"), group(2, 3, "run00000000b")];
    assert.equal((await groups.apply([b, a])).rows, 5);
    assert.equal((await groups.fold("run00000000a")).mark, 3);
    assert.equal((await groups.fold("run00000000b")).mark, 0);
    assert.deepEqual(await users(tested), usersOf(a, b));
  });

  test("a refused entry is a dead letter of its group, and is told again", async (tested) => {
    const { groups, refuse, buried } = tested;
    await groups.fold(SOURCE); // It makes the tables.
    await refuse("the value bad");
    const [a, b] = [group(1, 3, "run00000000a"), group(1, 2, "run00000000b")];
    const bad = {
      ...a,
      entries: a.entries.map((e) => e.seq === 2 ? { ...e, value: "bad" } : e),
    };
    const told = ({ dead }: { readonly dead: readonly { seq: number; source: string }[] }) =>
      dead.map(({ seq, source }) => [source, seq]);
    const applied = await groups.apply([bad, b]);
    assert.equal(applied.rows, 4);
    assert.deepEqual(told(applied), [["run00000000a", 2]]);
    assert.deepEqual((await buried()).map(({ seq }) => seq), [2]);
    const deadOf = async (first: number, last: number) =>
      (await groups.dead("run00000000a", first, last)).map(({ seq }) => seq);
    assert.deepEqual([await deadOf(1, 3), await deadOf(2, 2), await deadOf(3, 9)], [[2], [2], []]);
    const again = await groups.apply([bad, b]);
    assert.equal(again.rows, 0);
    assert.deepEqual(told(again), [["run00000000a", 2]]);
    assert.equal((await groups.fold("run00000000a")).mark, 3);
    assert.deepEqual(told(await groups.apply([bad])), [["run00000000a", 2]]);
  });

  test("of groups that a table refuses altogether nothing is there", async (tested) => {
    const { groups, refuse } = tested;
    const some = [group(1, 3), group(4, 5)];
    await groups.fold(SOURCE); // It makes the tables.
    const accept = await refuse("every row");
    await assert.rejects(groups.apply(some), StoreRefusesError);
    assert.equal((await groups.fold(SOURCE)).mark, 0);
    await accept();
    assert.equal((await groups.apply(some)).rows, 5);
    assert.equal((await groups.fold(SOURCE)).mark, 5);
  });

  test("within other bounds than before a group is refused, and its call with it", async (tested) => {
    const { groups } = tested;
    await groups.apply([group(1, 10), group(21, 30)]);
    await groups.fold(SOURCE);
    const cutAnew = [[21, 25], [25, 30], [15, 21], [18, 40], [22, 24], [30, 31], [5, 12], [10, 11]];
    for (const [first, last] of cutAnew) {
      await assert.rejects(
        groups.apply([group(101, 102), group(first!, last!)]),
        GroupsOverlapError,
        `${first} to ${last}`,
      );
    }
    await assert.rejects(groups.apply([group(41, 45), group(43, 50)]), GroupsOverlapError);
    await assert.rejects(groups.apply([group(41, 45), group(41, 50)]), GroupsOverlapError);
    assert.deepEqual(await users(tested), usersOf(group(1, 10), group(21, 30)));
    assert.equal((await groups.apply([group(2, 4), group(31, 31)])).rows, 1, "below the mark");
  });

  test("a group that is meant for another store is refused, and its call with it", async (tested) => {
    const { groups, identity } = tested;
    const own = { ...group(1, 2), store: (await identity.identify()).id };
    const foreign = { ...group(3, 4), store: crypto.randomUUID() };
    await assert.rejects(groups.apply([own, foreign]), ForeignGroupError);
    assert.deepEqual(await users(tested), []);
    assert.equal((await groups.apply([own])).rows, 2);
    assert.equal((await groups.fold(SOURCE)).mark, 2);
  });

  test("whatever comes again and overtakes, each is there once", async (tested) => {
    const { groups } = tested;
    const random = new Random(20_240_611);
    const all: EntryGroup[] = [];
    for (let first = 1; first <= 400;) {
      const last = first + random.pick([0, 1, 4, 30]);
      all.push(group(first, last));
      first = last + 1;
    }
    const calls: Promise<unknown>[] = [];
    for (const round of [1, 2, 3]) {
      const order = all.map((one) => ({ one, key: random.next() })).sort((a, b) => a.key - b.key);
      for (let at = 0; at < order.length; at += round) {
        calls.push(groups.apply(order.slice(at, at + round).map(({ one }) => one)));
        if (random.chance(0.2)) calls.push(groups.fold(SOURCE));
        if (calls.length % 8 === 0) await Promise.all(calls);
      }
    }
    await Promise.all(calls);
    assert.deepEqual(await users(tested), usersOf(...all));
    assert.equal((await groups.fold(SOURCE)).mark, all.at(-1)!.last);
  });
}
