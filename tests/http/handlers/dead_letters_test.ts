import assert from "node:assert/strict";
import type { Entry } from "../../../src/domain.ts";
import { AppError, RejectedRowError, StoreUnavailableError } from "../../../src/errors.ts";
import { deadLetterHandlers } from "../../../src/http/handlers/dead_letters.ts";
import type { DeadLetters } from "../../../src/ports/dead_letters.ts";
import { Log } from "../../../src/telemetry/log.ts";

const ID = "0123456789ab-1";

/** Handlers over dead letters of which one method answers so, and the users that were forgotten. */
function handlersOver(deadLetters: Partial<DeadLetters>) {
  const forgotten: string[] = [];
  const cache = {
    forget: (entries: readonly Entry[]) => {
      forgotten.push(...entries.map(({ userId }) => userId));
      return Promise.resolve();
    },
  };
  const lines: string[] = [];
  const log = new Log("info", "json", (line) => lines.push(line));
  return { handlers: deadLetterHandlers(deadLetters as DeadLetters, cache, log), forgotten, lines };
}

const context = {
  request: new Request("http://localhost/"),
  query: "",
  pathParameter: ID,
  door: "admin-socket",
} as const;
const refusedAs = (code: string) => (error: unknown) =>
  error instanceof AppError && error.code === code;

Deno.test("a store that is away is 503; a defect passes on as what it is", async () => {
  const away = new StoreUnavailableError("connection refused");
  const defect = new TypeError("undefined is not a function");
  for (
    const [name, method] of [
      ["listDeadLetters", "list"],
      ["showDeadLetter", "find"],
      ["replayDeadLetter", "replay"],
      ["discardDeadLetter", "discard"],
    ] as const
  ) {
    const failing = (error: Error) =>
      handlersOver({ [method]: () => Promise.reject(error) }).handlers[name];
    await assert.rejects(
      async () => await failing(away)(context),
      (error) =>
        error instanceof AppError && error.code === "store-unavailable" &&
        error.cause === away,
      name,
    );
    await assert.rejects(async () => await failing(defect)(context), defect, name);
  }
});

Deno.test("a replay makes the user's copies forgotten, a refused one nobody's", async () => {
  const entry = { userId: "u" } as Entry;
  const replayed = handlersOver({ replay: () => Promise.resolve(entry) });
  assert.equal((await replayed.handlers.replayDeadLetter(context)).status, 200);
  assert.deepEqual(replayed.forgotten, ["u"]);
  const refused = handlersOver({
    replay: () => Promise.reject(new RejectedRowError("23514", "no_bad")),
  });
  await assert.rejects(
    async () => await refused.handlers.replayDeadLetter(context),
    refusedAs("replay-refused"),
  );
  assert.deepEqual(refused.forgotten, []);
});

Deno.test("a dead letter that is not there, or no more, is 404", async () => {
  const { handlers } = handlersOver({
    find: () => Promise.resolve(undefined),
    replay: () => Promise.resolve(undefined),
    discard: () => Promise.resolve(false),
  });
  for (const name of ["showDeadLetter", "replayDeadLetter", "discardDeadLetter"] as const) {
    await assert.rejects(
      async () => await handlers[name](context),
      refusedAs("dead-letter-not-found"),
      name,
    );
  }
});
