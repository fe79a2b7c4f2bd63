import assert from "node:assert/strict";
import { type Entry, writeId } from "../../../src/domain.ts";
import { AppError, StoreUnavailableError } from "../../../src/errors.ts";
import { deadLetterSweepHandlers } from "../../../src/http/handlers/dead_letter_sweeps.ts";
import { Log } from "../../../src/telemetry/log.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { entry } from "../../support/fakes.ts";
import { MemoryStore } from "../../support/memory_store.ts";

const SOURCE = "instance0001/run1";

/** Handlers over five dead letters, the last of which are of the user `b`. */
function setUp() {
  let nowMs = 1_000;
  const tables = new MemoryStore({ now: () => nowMs });
  tables.refuses = () => ({ code: "23514", message: "no" });
  const bury = (seq: number, userId: string) =>
    tables.insertWhatGoesIn(SOURCE, [entry(seq, { userId })]);
  for (const [i, userId] of ["a", "a", "a", "b", "b"].entries()) bury(i + 1, userId);
  tables.refuses = () => undefined;
  const forgotten: string[] = [];
  const lines: string[] = [];
  const state = { failWith: undefined as Error | undefined };
  const answer = <T>(work: () => T): Promise<T> =>
    state.failWith === undefined ? Promise.resolve().then(work) : Promise.reject(state.failWith);
  const handlers = deadLetterSweepHandlers({
    deadLetters: { survey: (...what) => answer(() => tables.survey(...what)) },
    sweeps: {
      replaySome: (...what) => answer(() => tables.sweep("replay", ...what)),
      discardSome: (...what) => answer(() => tables.sweep("discard", ...what)),
    },
    cache: {
      forget: (entries) => {
        forgotten.push(...entries.map(({ userId }) => userId));
        return Promise.resolve();
      },
    },
    clock: new FakeClock(),
    log: new Log("info", "json", (line) => lines.push(line)),
  });
  const call = async (name: keyof typeof handlers, query: string, body?: unknown) => {
    const request = new Request("http://localhost/", {
      method: "POST",
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const response = await handlers[name]({
      ...{ request, query },
      ...{ pathParameter: "", door: "admin-socket" },
    });
    return await response.json();
  };
  const tick = () => nowMs += 1_000;
  return { tables, forgotten, lines, state, bury, call, tick };
}

const refusedAs = (code: string) => (error: unknown) =>
  error instanceof AppError && error.code === code;
const left = (tables: MemoryStore) => tables.dead.map(writeId);

Deno.test("a sweep goes on step by step, and ends with those that were there when it began", async () => {
  const { tables, bury, call, tick } = setUp();
  const first = await call("discardMany", "all=true&limit=2&expect=5");
  assert.deepEqual([first.done, first.remaining], [2, 3]);
  tick();
  tables.refuses = () => ({ code: "23514", message: "no" });
  bury(6, "late");
  const second = await call("discardMany", `all=true&limit=2&after=${first.next}`);
  assert.deepEqual([second.done, second.remaining], [2, 1]);
  const third = await call("discardMany", `all=true&limit=2&after=${second.next}`);
  assert.deepEqual(third, { done: 1, refused: 0, remaining: 0, next: null });
  assert.deepEqual(left(tables), [writeId(entry(6))], "nobody has seen that one counted");
});

Deno.test("whoever says how many there are is refused when there are others", async () => {
  const { tables, lines, call } = setUp();
  await assert.rejects(call("discardMany", "user_id=a&expect=2"), (error) => {
    assert.ok(error instanceof AppError && error.code === "count-changed");
    assert.deepEqual(error.members, { count: 3 });
    return true;
  });
  assert.deepEqual([left(tables).length, lines.length], [5, 0]);
});

Deno.test("all of them are meant only by who says so; a filter that is not understood means none", async () => {
  const { tables, call } = setUp();
  const wrong: [string, unknown?][] = [
    [""],
    ["all=false"],
    ["all=true&user_id=a"],
    ["usr_id=a"],
    ["user_id=a&limit=0"],
    ["user_id=a&limit=501"],
    ["user_id=a&expect=many"],
    ["user_id=a&after=here"],
    ["user_id=a", { code: "23514" }],
    ["", {}],
    ["", []],
    ["", "all"],
    ["", { user_id: ["a"] }],
    ["", { user_id: null }],
    ["", { all: false }],
  ];
  for (const [query, body] of wrong) {
    for (const name of ["replayMany", "discardMany"] as const) {
      await assert.rejects(
        call(name, query, body),
        refusedAs("invalid-parameter"),
        `${query} ${JSON.stringify(body)}`,
      );
    }
  }
  await assert.rejects(call("countDeadLetters", "all=true"), refusedAs("invalid-parameter"));
  assert.equal(left(tables).length, 5);
});

Deno.test("users whose letters were replayed are forgotten; the log names neither them nor values", async () => {
  const { tables, forgotten, lines, call } = setUp();
  tables.refuses = ({ seq }: Entry) => seq === 2 ? { code: "23505", message: "no" } : undefined;
  const body = { user_id: "a", from: 0, until: "2026-01-31" };
  const answer = await call("replayMany", "", body);
  assert.deepEqual(answer, { done: 2, refused: 1, remaining: 0, next: null });
  assert.deepEqual(forgotten, ["a", "a"]);
  await call("discardMany", "user_id=b");
  assert.deepEqual(forgotten, ["a", "a"], "no row of theirs has changed");
  const [replayed] = lines.map((line) => JSON.parse(line));
  assert.deepEqual({ ...replayed, time: "" }, {
    time: "",
    level: "info",
    message: "Admin action",
    event: "admin-action",
    action: "dead-letters replay",
    done: 2,
    refused: 1,
    remaining: 0,
    ofOneUser: true,
    from: "1970-01-01T00:00:00.000Z",
    until: "2026-01-31T00:00:00.000Z",
    by: "the admin socket",
  });
});

Deno.test("a store that is away is 503; a defect passes on as what it is", async () => {
  const { state, call } = setUp();
  for (const name of ["countDeadLetters", "replayMany", "discardMany"] as const) {
    state.failWith = new StoreUnavailableError("connection refused");
    await assert.rejects(call(name, "code=23514"), refusedAs("store-unavailable"), name);
    state.failWith = new TypeError("undefined is not a function");
    await assert.rejects(call(name, "code=23514"), state.failWith, name);
  }
});
