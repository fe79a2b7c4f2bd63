/**
 * What the black-box scripts share: a small client of the public contract, and a runner that
 * reports one line a check.
 */
import assert from "node:assert/strict";

const REQUEST_TIMEOUT_MS = 20_000;
const CHECK_TIMEOUT_MS = 45_000;
const POLL_INTERVAL_MS = 50;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

type Ack = "accepted" | "durable" | "flushed";

export interface RequestOptions {
  readonly headers?: HeadersInit;
  readonly body?: BodyInit;
}

export class Client {
  /** @param baseUrl without a slash at its end */
  constructor(readonly baseUrl: string) {}

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const response = await fetch(this.baseUrl + path, {
      method,
      redirect: "manual",
      signal,
      ...options,
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  /** Any record, also a wrong one. */
  write(record: unknown, ack?: Ack): Promise<Answer> {
    const path = ack === undefined ? "/write" : `/write?ack=${ack}`;
    return this.request("POST", path, {
      body: JSON.stringify(record),
      headers: { "content-type": "application/json" },
    });
  }

  read(userId: string, headers: HeadersInit = {}): Promise<Answer> {
    return this.request("GET", `/read?user_id=${encodeURIComponent(userId)}`, { headers });
  }

  async metrics(): Promise<Samples> {
    const { status, text } = await this.request("GET", "/metrics");
    assert.equal(status, 200, "GET /metrics");
    return new Samples(text);
  }

  /** Writes and returns the write id. */
  async mustWrite(
    record: { user_id: string; value: string; ts?: number },
    ack?: Ack,
  ): Promise<string> {
    const answer = await this.write(record, ack);
    assert.equal(answer.status, ack === "flushed" ? 201 : 202, `POST /write: ${answer.text}`);
    const id = answer.headers.get("dsproxy-write-id") ?? "";
    assert.match(id, /^[0-9a-z]+-[1-9][0-9]*$/, "Dsproxy-Write-Id");
    return id;
  }

  async mustRead(userId: string, value: string): Promise<Answer> {
    const answer = await this.read(userId);
    assert.equal(answer.status, 200, `GET /read: ${answer.text}`);
    assert.equal(answer.text, value);
    return answer;
  }

  /** Waits until the store has the write. */
  async mustBeFlushed(writeId: string): Promise<void> {
    await eventually(async () => {
      const { status, text } = await this.request("GET", `/writes/${writeId}`);
      assert.equal(status, 200, `GET /writes/${writeId}`);
      assert.equal(text.trim(), "flushed");
    });
  }
}

/** One scrape of `/metrics`. */
class Samples {
  constructor(readonly text: string) {}

  /** The sum of every series of `name` that has these labels; undefined when there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    let sum: number | undefined;
    for (const line of this.text.split("\n")) {
      const [, series, seriesLabels = "", value] = /^([a-zA-Z0-9_:]+)(\{.*\})? (\S+)/.exec(line) ??
        [];
      const fits = Object.entries(labels).every(([label, text]) =>
        seriesLabels.includes(`${label}="${text}"`)
      );
      if (series === name && fits) sum = (sum ?? 0) + Number(value);
    }
    return sum;
  }
}

/** Asserts an RFC 9457 document with this status and type. */
export function assertProblem(answer: Answer, status: number, type: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
  const problem = JSON.parse(answer.text);
  assert.equal(problem.type, type);
  assert.equal(problem.status, status);
  assert.ok(typeof problem.title === "string" && problem.title !== "", "title");
  assert.ok(typeof problem.detail === "string" && problem.detail !== "", "detail");
  assert.doesNotMatch(answer.text, /\.ts:\d+|node_modules/, "no internal detail");
}

/** Repeats `attempt` until it passes; after `limitMs` its last failure is thrown. */
export async function eventually<T>(attempt: () => Promise<T>, limitMs = 30_000): Promise<T> {
  const endMs = Date.now() + limitMs;
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() >= endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    }
  }
}

/** A user id that no earlier run has used, so that the scripts may run on live data. */
export function newUser(kind = "user"): string {
  return `${TEST_USER_PREFIX}${kind}-${crypto.randomUUID()}`;
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

export const TEST_USER_PREFIX = "blackbox-";

export function assertGrown(
  name: string,
  before: Samples,
  after: Samples,
  by: number,
  labels: Readonly<Record<string, string>> = {},
): void {
  const [from, to] = [before.sum(name, labels) ?? 0, after.sum(name, labels) ?? 0];
  assert.ok(
    to >= from + by,
    `${name} ${JSON.stringify(labels)} went from ${from} to ${to}, not up by ${by}`,
  );
}

/** What a check establishes, as a sentence → how. */
export type Checks = Readonly<Record<string, (client: Client) => Promise<void>>>;

/**
 * Runs the checks in order against the URL of the first argument, or DSPROXY_URL; ends the process.
 */
export async function runChecks(checks: Checks): Promise<never> {
  const url = Deno.args[0] ?? Deno.env.get("DSPROXY_URL") ?? "http://127.0.0.1:8080";
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    return stop(`${JSON.stringify(url)} is not an http or https URL`);
  }
  const client = new Client(url.replace(/\/+$/, ""));
  try {
    await client.request("GET", "/livez");
  } catch (error) {
    return stop(`dsProxy cannot be reached at ${url}: ${firstLine(error)}`);
  }
  let passed = 0;
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    const startedMs = performance.now();
    try {
      await withinTime(check(client));
      passed++;
      print(`ok    ${name} (${Math.round(performance.now() - startedMs)} ms)`);
    } catch (error) {
      failed++;
      print(`FAIL  ${name}: ${firstLine(error)}`);
    }
  }
  print(`${passed} passed, ${failed} failed`);
  Deno.exit(failed === 0 ? 0 : 1);
}

function stop(why: string): never {
  print(why);
  Deno.exit(1);
}

async function withinTime(work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no end within ${CHECK_TIMEOUT_MS / 1000} s`)),
      CHECK_TIMEOUT_MS,
    );
  });
  await Promise.race([work, timeout]).finally(() => clearTimeout(timer));
}

function firstLine(error: unknown): string {
  if (error instanceof Error && error.cause instanceof Error) {
    return `${error.message}: ${error.cause.message}`;
  }
  const message = error instanceof Error ? error.message : String(error);
  // Of a comparison, the values stand in the lines after the first.
  return message.split("\n").map((line) => line.trim()).filter((line) => line !== "").slice(0, 6)
    .join(" ").slice(
      0,
      500,
    );
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}
