import assert from "node:assert/strict";
import { AppError, StoreUnavailableError } from "../../../src/errors.ts";
import { writeStatusHandler } from "../../../src/http/handlers/write_status.ts";
import type { DeadLetter } from "../../../src/ports/dead_letters.ts";
import type { Stage } from "../../../src/ports/intake.ts";

const RUN = "0123456789ab";

interface Situation {
  readonly stage: Stage;
  readonly marks?: Readonly<Record<string, number>>;
  readonly dead?: Readonly<Record<string, string>>;
  /** What the store throws, whatever it is asked. */
  readonly storeThrows?: unknown;
}

/** What the handler answers to an id: its text, or the code and detail of the refusal. */
async function statusOf(
  id: string,
  { stage, marks = {}, dead = {}, storeThrows }: Situation,
): Promise<{ text: string } | { code: string; detail: string; cause: unknown }> {
  const asked: string[] = [];
  const handler = writeStatusHandler({
    intake: { stageOf: (run, seq) => (asked.push(`${run}-${seq}`), stage) },
    marks: {
      marks: (sources) => {
        if (storeThrows !== undefined) return Promise.reject(storeThrows);
        const known = [...sources].filter((source) => Object.hasOwn(marks, source));
        return Promise.resolve(new Map(known.map((source) => [source, marks[source]!])));
      },
    },
    deadLetters: {
      find: (id) => {
        if (storeThrows !== undefined) return Promise.reject(storeThrows);
        const code = dead[id];
        return Promise.resolve(code === undefined ? undefined : { code } as DeadLetter);
      },
    },
  });
  const request = new Request(`http://localhost/writes/${id}`);
  try {
    const response = await handler({ request, query: "", pathParameter: id, door: "network" });
    assert.equal(response.status, 200);
    assert.deepEqual(asked, [id], "the intake is asked for this run and number");
    return { text: await response.text() };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { code: error.code, detail: error.message, cause: error.cause };
  }
}

async function refusalOf(id: string, situation: Situation) {
  const answer = await statusOf(id, situation);
  assert.ok("code" in answer, JSON.stringify(answer));
  return answer;
}

Deno.test("what is accepted or durable is queued, without a look at the store", async () => {
  const storeThrows = new Error("not to be asked");
  for (const stage of ["accepted", "durable"] as const) {
    assert.deepEqual(await statusOf(`${RUN}-7`, { stage, storeThrows }), { text: "queued" });
  }
});

Deno.test("what is settled is flushed, or dead with the code of the database", async () => {
  const dead = { [`${RUN}-8`]: "23514" };
  assert.deepEqual(await statusOf(`${RUN}-7`, { stage: "settled", dead }), { text: "flushed" });
  assert.deepEqual(await statusOf(`${RUN}-8`, { stage: "settled", dead }), { text: "dead: 23514" });
});

Deno.test("a withdrawn write is 404, and the reason says that it was never durable", async () => {
  const { code, detail } = await refusalOf(`${RUN}-7`, { stage: "withdrawn" });
  assert.equal(code, "write-not-found");
  assert.match(detail, /never made durable/);
});

Deno.test("of a run that is not known here the store's mark decides", async () => {
  const marks = { [RUN]: 7 };
  const dead = { [`${RUN}-6`]: "23505" };
  const stage = "unknown";
  assert.deepEqual(await statusOf(`${RUN}-7`, { stage, marks, dead }), { text: "flushed" });
  assert.deepEqual(await statusOf(`${RUN}-6`, { stage, marks, dead }), { text: "dead: 23505" });
  assert.equal((await refusalOf(`${RUN}-8`, { stage, marks, dead })).code, "write-not-found");
  assert.equal((await refusalOf("zzzzzzzzzzzz-1", { stage, marks })).code, "write-not-found");
});

Deno.test("while the store is away what only it knows is 503", async () => {
  const storeThrows = new StoreUnavailableError("connection refused");
  for (const stage of ["settled", "unknown"] as const) {
    const { code, cause } = await refusalOf(`${RUN}-7`, { stage, storeThrows });
    assert.deepEqual([code, cause], ["store-unavailable", storeThrows], stage);
  }
});

Deno.test("a defect on the way to the store is a defect, not a store that is away", async () => {
  for (const stage of ["settled", "unknown"] as const) {
    const storeThrows = new TypeError("undefined is not a function");
    await assert.rejects(statusOf(`${RUN}-7`, { stage, storeThrows }), storeThrows);
  }
});

Deno.test("what is no write id is 404, and nobody is asked", async () => {
  for (const id of ["nonsense", `${RUN}-0`, `${RUN}-01`, `${RUN}x-1`, RUN, `${RUN}-1-2`]) {
    const { code } = await refusalOf(id, { stage: "durable" });
    assert.equal(code, "write-not-found", id);
  }
});
