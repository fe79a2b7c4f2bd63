/** Puts a side under load by `wrk`, in a closed loop: each connection waits for its answer. */
import { installed, WRK } from "../../tests/support/installed.ts";
import type { OneRequest } from "./template.ts";

export interface ClosedLoop {
  readonly connections: number;
  readonly seconds: number;
  /** Each request is for a random one of so many. */
  readonly users: number;
  /** They are sent beside those of the request itself. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LoadFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A `201` that waits for a flush is no time-out. */
const ANSWER_LIMIT = "30s";

/** @throws Error when some were not answered with 2xx */
export async function closedLoop(
  url: string,
  request: OneRequest,
  load: ClosedLoop,
): Promise<LoadFigures> {
  const script = await Deno.makeTempFile({ prefix: "dsproxy-wrk-", suffix: ".lua" });
  try {
    await Deno.writeTextFile(script, luaOf(request, load));
    const { stdout, stderr, success } = await new Deno.Command(await installed(WRK), {
      // deno-fmt-ignore
      args: [
        "-t1", `-c${load.connections}`, `-d${load.seconds}s`, "--timeout", ANSWER_LIMIT,
        "--latency", "-s", script, url,
      ],
    }).output();
    const text = new TextDecoder().decode(stdout);
    if (!success) throw new Error(`wrk failed: ${text}${new TextDecoder().decode(stderr)}`);
    return parseWrk(text);
  } finally {
    await Deno.remove(script);
  }
}

/** Writes the script that makes the requests. */
export function luaOf(request: OneRequest, { users, headers = {} }: ClosedLoop): string {
  const all = Object.entries({ ...headers, ...request.headers });
  const table = all.map(([name, value]) => `[${quoted(name)}]=${quoted(value)}`).join(", ");
  const body = request.body === undefined ? "nil" : expressionOf(request.body);
  return [
    "local n = 0",
    `local headers = { ${table} }`,
    "request = function()",
    "  n = n + 1",
    `  local user = math.random(${users})`,
    `  return wrk.format(${quoted(request.method)}, ${
      expressionOf(request.path)
    }, headers, ${body})`,
    "end",
    "",
  ].join("\n");
}

/** Makes an expression of a text with `{user}` and `{n}` in it. */
function expressionOf(text: string): string {
  return text.split(/(\{user\}|\{n\})/).filter((part) => part !== "")
    .map((part) => part === "{user}" ? "user" : part === "{n}" ? "n" : quoted(part))
    .join(" .. ");
}

/** Lua reads the escapes of JSON that can stand here, but for \u. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

const UNIT_MS: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 };

/** @throws Error when some were not answered well, or the text has no figures */
export function parseWrk(text: string): LoadFigures {
  const bad = /^\s*(Non-2xx or 3xx responses: \d+|Socket errors: .*)$/m.exec(text)?.[1];
  if (bad !== undefined) throw new Error(`Not all were answered well: ${bad}`);
  const perSecond = Number(/^Requests\/sec:\s+([0-9.]+)$/m.exec(text)?.[1]);
  if (!(perSecond > 0)) throw new Error(`No request was answered: ${text}`);
  return { perSecond, p50Ms: percentile(text, "50"), p99Ms: percentile(text, "99") };
}

function percentile(text: string, share: string): number {
  const line = new RegExp(`^\\s+${share}%\\s+([0-9.]+)(us|ms|s|m)\\s*$`, "m");
  const [, value, unit] = line.exec(text) ?? [];
  return Number(value) * (UNIT_MS[unit ?? ""] ?? NaN);
}
