import assert from "node:assert/strict";
import {
  GroupsOverlapError,
  RejectedRowError,
  StoreNotAskedError,
  StoreRefusesError,
  StoreUnavailableError,
  StoreWentBackError,
} from "../../src/errors.ts";
import { Breaker } from "../../src/guarding/breaker.ts";
import { GuardedCache } from "../../src/guarding/guarded_cache.ts";
import { guardStore, type StoreCall } from "../../src/guarding/guarded_store.ts";
import type { Cache } from "../../src/ports/cache.ts";
import type { DeadLetterSweeps } from "../../src/ports/dead_letter_sweeps.ts";
import type { DeadLetters } from "../../src/ports/dead_letters.ts";
import type { GroupStore } from "../../src/ports/group_store.ts";
import type { Store, StorePorts } from "../../src/ports/store.ts";
import type { StoreIdentity } from "../../src/ports/store_identity.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { entry } from "../support/fakes.ts";
import { group } from "../support/groups.ts";

type Call = readonly [name: string, make: () => Promise<unknown>];

/** As a port whose every method gives back its name and what it was given, or fails anew. */
function echo<Port>(methods: readonly (keyof Port & string)[], failure: () => Error | undefined) {
  return Object.fromEntries(methods.map((name) => [name, (...args: unknown[]) => {
    const error = failure();
    if (error === undefined) return Promise.resolve([name, ...args]);
    const anew = Object.create(
      Object.getPrototypeOf(error),
      Object.getOwnPropertyDescriptors(error),
    );
    return Promise.reject(anew);
  }])) as unknown as Port;
}

function setUp() {
  const clock = new FakeClock();
  const state = { error: undefined as Error | undefined };
  const failure = () => state.error;
  const faults: StoreCall[] = [];
  const breakers = { store: new Breaker("The store", clock), reads: new Breaker("Reads", clock) };
  const unguarded: Required<
    Pick<StorePorts, "store" | "identity" | "deadLetters" | "sweeps" | "groups">
  > = {
    store: echo<Store>(["open", "put", "marks", "latest", "ping", "close"], failure),
    identity: echo<StoreIdentity>(["identify", "outdateCopies"], failure),
    deadLetters: echo<DeadLetters>(
      ["count", "survey", "reasons", "list", "find", "replay", "discard"],
      failure,
    ),
    sweeps: echo<DeadLetterSweeps>(["replaySome", "discardSome"], failure),
    groups: echo<GroupStore>(["apply", "fold", "dead"], failure),
  };
  const { store, identity, deadLetters, sweeps, groups } = guardStore(
    unguarded,
    breakers,
    (call) => void faults.push(call),
  );
  const ofStore: Record<keyof Store, Call[1]> = {
    open: () => store.open("s"),
    put: () => store.put("s", [entry(1)], 3),
    marks: () => store.marks(["s"]),
    latest: () => store.latest("u"),
    ping: () => store.ping(),
    close: () => store.close(),
  };
  const others: Record<
    keyof StoreIdentity | keyof DeadLetters | keyof DeadLetterSweeps | keyof GroupStore,
    Call[1]
  > = {
    identify: () => identity.identify(),
    outdateCopies: () => identity.outdateCopies(),
    count: () => deadLetters.count(),
    survey: () => deadLetters.survey({ code: "c" }, 9),
    reasons: () => deadLetters.reasons(),
    list: () => deadLetters.list(2, { source: "s", seq: 1 }),
    find: () => deadLetters.find("id"),
    replay: () => deadLetters.replay("id"),
    discard: () => deadLetters.discard("id"),
    replaySome: () => sweeps.replaySome({ userId: "u" }, 7, { source: "s", seq: 1 }),
    discardSome: () => sweeps.discardSome({ userId: "u" }, 7, { source: "s", seq: 1 }),
    apply: () => groups!.apply([group(1, 2)]),
    fold: () => groups!.fold("s"),
    dead: () => groups!.dead("s", 1, 2),
  };
  const calls = { ...ofStore, ...others };
  const refused = async () => {
    const names: string[] = [];
    for (const [name, make] of Object.entries(calls)) {
      await make().catch((error) => error instanceof StoreNotAskedError && names.push(name));
    }
    return names;
  };
  const open = async (call: Call[1]) => {
    state.error = new StoreUnavailableError("down");
    for (let i = 0; i < 5; i++) await assert.rejects(call, StoreUnavailableError);
    state.error = undefined;
  };
  return { calls, state, faults, breakers, refused, open };
}

Deno.test("every call of a guarded store gets through with what it was given", async () => {
  const { calls } = setUp();
  const given: Record<keyof typeof calls, readonly unknown[]> = {
    open: ["s"],
    put: ["s", [entry(1)], 3],
    marks: [["s"]],
    latest: ["u"],
    ping: [],
    close: [],
    identify: [],
    outdateCopies: [],
    count: [],
    reasons: [],
    list: [2, { source: "s", seq: 1 }],
    find: ["id"],
    replay: ["id"],
    discard: ["id"],
    survey: [{ code: "c" }, 9],
    replaySome: [{ userId: "u" }, 7, { source: "s", seq: 1 }],
    discardSome: [{ userId: "u" }, 7, { source: "s", seq: 1 }],
    apply: [[group(1, 2)]],
    fold: ["s"],
    dead: ["s", 1, 2],
  };
  for (const [name, make] of Object.entries(calls)) {
    assert.deepEqual(await make(), [name, ...given[name as keyof typeof calls]]);
  }
});

Deno.test("look-ups that fail hold up look-ups alone", async () => {
  const { calls, breakers, refused, open } = setUp();
  await open(calls.latest);
  assert.deepEqual([breakers.store.state, breakers.reads.state], [0, 2]);
  assert.deepEqual(await refused(), ["latest"]);
});

Deno.test("any other call that fails holds up all but look-ups, pings and the close", async () => {
  const names = Object.keys(setUp().calls) as (keyof ReturnType<typeof setUp>["calls"])[];
  const guarded = names.filter((name) => !["latest", "ping", "close"].includes(name));
  for (const failing of guarded) {
    const { calls, refused, open } = setUp();
    await open(calls[failing]);
    assert.deepEqual(await refused(), guarded, `after failures of ${failing}`);
  }
});

Deno.test("pings and closes that fail hold up nothing, and are no faults", async () => {
  const { calls, refused, open, faults } = setUp();
  await open(calls.ping);
  await open(calls.close);
  assert.deepEqual([await refused(), faults], [[], []]);
});

Deno.test("a call that is not made says what the last one failed of", async () => {
  const { calls, open } = setUp();
  await open(calls.put);
  await assert.rejects(calls.put, (error) => {
    assert.ok(error instanceof StoreNotAskedError, String(error));
    assert.match(error.message, /The store is not asked/);
    assert.match(String(error.cause), /down/);
    return true;
  });
});

Deno.test("a fault is a call that was made and failed, no answer, no call held back", async () => {
  const { calls, state, faults } = setUp();
  for (
    const error of [
      new RejectedRowError("23514", "no"),
      new StoreWentBackError("1 below 2"),
      new GroupsOverlapError("1 to 3 are there in part"),
    ]
  ) {
    state.error = error;
    await assert.rejects(calls.put, error);
  }
  assert.deepEqual(faults, []);
  state.error = new StoreRefusesError("42501", "permission denied");
  await assert.rejects(calls.latest, StoreRefusesError);
  state.error = new StoreUnavailableError("down");
  for (let i = 0; i < 7; i++) await assert.rejects(calls.find);
  assert.deepEqual(faults, ["latest", "find", "find", "find", "find", "find"]);
});

Deno.test("groups that overlap, however often, hold up nothing", async () => {
  const { calls, state, faults, breakers, refused } = setUp();
  state.error = new GroupsOverlapError("1 to 3 are there in part");
  for (let i = 0; i < 10; i++) await assert.rejects(calls.apply, GroupsOverlapError);
  state.error = undefined;
  assert.deepEqual([breakers.store.state, await refused(), faults], [0, [], []]);
});

Deno.test("a store without groups has none behind its breakers either", () => {
  const { breakers } = setUp();
  const ports = {
    store: echo<Store>([], () => undefined),
    identity: echo<StoreIdentity>([], () => undefined),
    deadLetters: echo<DeadLetters>([], () => undefined),
    sweeps: echo<DeadLetterSweeps>([], () => undefined),
  };
  assert.ok(!("groups" in guardStore(ports, breakers, () => {})));
});

Deno.test("a cache that fails is not asked for a while, but for the close", async () => {
  const state = { error: undefined as Error | undefined };
  const cache = echo<Cache>(
    ["get", "update", "token", "fill", "forget", "close"],
    () => state.error,
  );
  const breaker = new Breaker("The cache", new FakeClock());
  const guarded = new GuardedCache(cache, breaker);
  assert.deepEqual(await guarded.get("u"), ["get", "u"] as unknown);
  assert.deepEqual(await guarded.forget("u"), ["forget", "u", undefined] as unknown);
  state.error = new Error("down");
  for (let i = 0; i < 5; i++) await assert.rejects(async () => await guarded.get("u"), /down/);
  state.error = undefined;
  await assert.rejects(async () => await guarded.get("u"), /The cache is not asked/);
  await assert.rejects(guarded.update([]), /The cache is not asked/);
  await assert.rejects(guarded.token(), /The cache is not asked/);
  await assert.rejects(guarded.fill([], ""), /The cache is not asked/);
  await assert.rejects(guarded.forget("u"), /The cache is not asked/);
  await guarded.close();
});
