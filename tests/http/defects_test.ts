import assert from "node:assert/strict";
import { Defects } from "../../src/http/defects.ts";
import { Log } from "../../src/telemetry/log.ts";

Deno.test("of defects each route has a line now and then, with the span of its request", () => {
  const lines: Record<string, unknown>[] = [];
  const defects = new Defects(new Log("info", "json", (line) => lines.push(JSON.parse(line))));
  const trace = { traceId: "4bf92f3577b34da6", spanId: "00f067aa" };
  for (let i = 0; i < 1_000; i++) defects.note("/write", new TypeError(`no. ${i}`), trace);
  defects.note("/read", new TypeError("another"));
  assert.deepEqual(
    lines.map(({ event, route, error, trace_id }) => [event, route, error, trace_id]),
    [
      ["request-failed", "/write", "no. 0", trace.traceId],
      ["request-failed", "/read", "another", undefined],
    ],
  );
});
