import assert from "node:assert/strict";
import { DeadLetterRetryDuty } from "../../src/cluster/dead_letter_retry.ts";
import { type Entry, writeId } from "../../src/domain.ts";
import { RejectedRowError, StoreUnavailableError, TermOverError } from "../../src/errors.ts";
import type { DueLetter, DueLetters, LetterPlace } from "../../src/ports/dead_letter_retries.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { entry, idleMetrics } from "../support/fakes.ts";

const TERM = { number: 1, leader: "leader" };

function dueOf(seq: number): DueLetter {
  const { value: _, ...letter } = entry(seq);
  return { ...letter, passedAges: 1 };
}

/** @param fates says what becomes of a letter by its number: it goes in where nothing is said */
function setUp(pages: DueLetters[], fates: Readonly<Record<number, Error>> = {}) {
  const clock = new FakeClock();
  const metrics = idleMetrics();
  const tried: number[] = [];
  const forgotten: string[] = [];
  const state = { forgetFails: false, forgetting: 0, from: [] as (LetterPlace | undefined)[] };
  const duty = new DeadLetterRetryDuty({
    retries: {
      due: (_ages, _limit, from) => {
        state.from.push(from);
        return Promise.resolve(pages.shift() ?? { letters: [] });
      },
      retry: (_term, letter) => {
        tried.push(letter.seq);
        const fate = fates[letter.seq];
        if (fate !== undefined) return Promise.reject(fate);
        return Promise.resolve(entry(letter.seq));
      },
    },
    agesMs: [60_000],
    forget: (entries: readonly Entry[]) => {
      if (state.forgetFails) return Promise.reject(new Error("Redis and the store are away"));
      forgotten.push(...entries.map(writeId));
      return Promise.resolve();
    },
    ...{ clock, metrics },
    log: { debug() {}, info() {} },
  });
  const { signal } = new AbortController();
  return { duty, metrics, tried, forgotten, state, run: () => duty.run(TERM, signal) };
}

const place = { source: "s", seq: 2 };
const ids = (...seqs: number[]) => seqs.map((seq) => writeId(entry(seq)));

Deno.test("those that are due are tried, counted, and their users forgotten", async () => {
  const refused = new RejectedRowError("23514", "no bad values");
  const { run, tried, forgotten, metrics, state } = setUp([
    { letters: [dueOf(1), dueOf(2)], next: place },
    { letters: [dueOf(3)] },
  ], { 2: refused });
  await run();
  await run();
  await run();
  assert.deepEqual(tried, [1, 2, 3]);
  assert.deepEqual(forgotten, ids(1, 3));
  assert.deepEqual(state.from, [undefined, place, undefined]);
  const { text } = await metrics.expose(false);
  assert.match(text, /^dsproxy_dead_letter_retries_total\{outcome="stored"\} 2$/m);
  assert.match(text, /^dsproxy_dead_letter_retries_total\{outcome="refused"\} 1$/m);
});

Deno.test("a user whose copies could not be dropped is forgotten before all else", async () => {
  const { run, tried, forgotten, state } = setUp([
    { letters: [dueOf(1), dueOf(2)] },
    { letters: [dueOf(2)] },
  ]);
  state.forgetFails = true;
  await assert.rejects(run(), /away/);
  await assert.rejects(run(), /away/);
  assert.deepEqual(tried, [1]);
  state.forgetFails = false;
  await run();
  assert.deepEqual(forgotten, ids(1, 2));
});

Deno.test("where the answer is lost the entry may be there: its user is forgotten", async () => {
  const { run, forgotten } = setUp([{ letters: [dueOf(1)] }], {
    1: new StoreUnavailableError("reset after COMMIT"),
  });
  await assert.rejects(run(), /reset/);
  await run();
  assert.deepEqual(forgotten, ids(1));
});

Deno.test("a leader whose term is over tries no more", async () => {
  const { run, tried, forgotten } = setUp([{ letters: [dueOf(1), dueOf(2)] }], {
    1: new TermOverError("over"),
  });
  await assert.rejects(run(), TermOverError);
  assert.deepEqual([tried, forgotten], [[1], []]);
});
