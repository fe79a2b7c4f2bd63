/**
 * `/livez` (alias `/healthz`) says that the process runs, `/readyz` that it accepts writes, and
 * with `?verbose` why.
 */
import { type Handler, TEXT_HEADERS } from "../handler.ts";
import { parseQuery } from "../query.ts";

export interface HealthCheck {
  readonly name: string;
  /** Returns why it fails; undefined when it is well. */
  failure(): string | undefined;
  /** Returns what people should know of it although it does not fail. */
  note?(): string | undefined;
}

/** @param checks all must be well for 200; otherwise 503 */
export function healthHandler(checks: readonly HealthCheck[]): Handler {
  return ({ query }) => {
    const results = checks.map((check) => ({
      name: check.name,
      failure: check.failure(),
      state: check.note?.() ?? "ok",
    }));
    const failed = results.filter(({ failure }) => failure !== undefined);
    const verbose = parseQuery(query).has("verbose");
    const lines = (verbose ? results : failed).map(({ name, failure, state }) =>
      failure === undefined ? `[+] ${name}: ${state}` : `[-] ${name}: ${failure}`
    );
    const verdict = failed.length === 0 ? "ok" : "not ok";
    const headers: Record<string, string> = { ...TEXT_HEADERS, "cache-control": "no-store" };
    if (failed.length > 0) headers["retry-after"] = "1";
    return new Response([...lines, verdict].join("\n") + "\n", {
      status: failed.length === 0 ? 200 : 503,
      headers,
    });
  };
}
