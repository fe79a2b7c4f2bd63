import assert from "node:assert/strict";
import { AppError, StoreUnavailableError } from "../../../src/errors.ts";
import { auditHandlers } from "../../../src/http/handlers/audit.ts";
import { Log } from "../../../src/telemetry/log.ts";

const context = (query = "") => ({
  request: new Request("http://localhost/"),
  query,
  pathParameter: "",
  door: "network" as const,
});
const LOG = new Log("error", "json", () => {});
const QUERY = "source=0123456789ab&first=1&last=2&reason=known";
const refusedAs = (code: string) => (error: unknown) =>
  error instanceof AppError && error.code === code;

function over(auditor: Partial<NonNullable<Parameters<typeof auditHandlers>[0]>>) {
  const unasked = () => Promise.reject(new Error("nobody should have asked"));
  return auditHandlers({ report: unasked, accept: unasked, ...auditor }, LOG);
}

Deno.test("a store that is away is 503; a defect passes on as what it is", async () => {
  const away = new StoreUnavailableError("connection refused");
  const defect = new TypeError("undefined is not a function");
  for (const [name, method] of [["showAudit", "report"], ["acceptGap", "accept"]] as const) {
    const failing = (error: Error) => over({ [method]: () => Promise.reject(error) })[name];
    await assert.rejects(
      async () => await failing(away)(context(QUERY)),
      refusedAs("store-unavailable"),
      name,
    );
    await assert.rejects(async () => await failing(defect)(context(QUERY)), defect, name);
  }
});

Deno.test("a store that cannot be audited says so", async () => {
  const { showAudit, acceptGap } = auditHandlers(undefined, LOG);
  for (const handler of [showAudit, acceptGap]) {
    await assert.rejects(async () => await handler(context(QUERY)), refusedAs("no-such-path"));
  }
});

Deno.test("a gap is one number where `last` is left out, and its reason is kept as it came", async () => {
  const asked: unknown[] = [];
  const { acceptGap } = over({
    accept: (...what) => {
      asked.push(what);
      return Promise.resolve(1);
    },
  });
  const answer = await acceptGap(context("source=0123456789ab&first=7&reason=a+%22b%22"));
  assert.deepEqual(asked, [["0123456789ab", { first: 7, last: 7 }, 'a "b"']]);
  assert.deepEqual(await answer.json(), {
    source: "0123456789ab",
    first: 7,
    last: 7,
    accepted: 1,
  });
});
