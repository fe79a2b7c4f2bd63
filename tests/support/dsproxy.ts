/**
 * The program itself as a process: started as a user would, stopped or killed, its log and exit
 * code read.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { environmentNames } from "../../src/config/options.ts";
import { delay } from "./services.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_LIMIT_MS = 60_000;
/** A connection that breaks because its process ended is noticed before the end itself. */
const GONE_WITHIN_MS = 1_000;

export type Environment = Readonly<Record<string, string>>;

export interface HowToRun {
  /** A program of the tests in place of `main.ts`, by its path in the repository. */
  readonly main?: string;
  readonly args?: readonly string[];
  /** The most file descriptors it may have. */
  readonly openFiles?: number;
  /** Permission bits hold for it, also when the tests run as root. */
  readonly unprivileged?: true;
}

export class Dsproxy implements AsyncDisposable {
  #log = "";
  #isEnding = false;
  readonly #logRead: Promise<void>;

  private constructor(readonly process: Deno.ChildProcess, readonly settings: Environment) {
    this.#logRead = this.#readLog();
  }

  /** Starts the program on a free port of this machine. It must become ready. */
  static async start(settings: Environment, how: HowToRun = {}): Promise<Dsproxy> {
    const started = Dsproxy.spawn(settings, [], how);
    const giveUpAt = Date.now() + START_LIMIT_MS;
    while (started.#url === undefined) {
      assert.ok(Date.now() < giveUpAt, `dsproxy does not start:\n${started.#log}`);
      const exited = await Promise.race([started.process.status, delay(10)]);
      assert.ok(exited === undefined, `dsproxy ended with code ${exited?.code}:\n${started.#log}`);
    }
    return started;
  }

  /** Starts the program without waiting for anything. */
  static spawn(settings: Environment, args: readonly string[] = [], how: HowToRun = {}): Dsproxy {
    const env = { PROXY_HOST: "127.0.0.1", PROXY_PORT: "0", LOG_FORMAT: "json", ...settings };
    const { command, programArgs } = programUnderTest(how);
    const process = new Deno.Command(command, {
      args: [...programArgs, ...args],
      env: { ...inherited(), ...env },
      clearEnv: true,
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return new Dsproxy(process, env);
  }

  get url(): string {
    assert.ok(this.#url, "dsproxy is not listening yet");
    return this.#url;
  }
  get #url(): string | undefined {
    return /listening on (http:\/\/[^"\s]+)/.exec(this.#log)?.[1];
  }
  get log(): string {
    return this.#log;
  }

  /** Ends it in order; it must exit with code 0. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    this.process.kill("SIGTERM");
    const { code } = await this.ended();
    assert.equal(code, 0, this.#log);
  }

  async kill(): Promise<void> {
    this.#isEnding = true;
    this.process.kill("SIGKILL");
    await this.ended();
  }

  /** It was told to end, or has ended by itself, of which one may hear a moment later. */
  async mayBeGone(): Promise<boolean> {
    const hasEnded = this.process.status.then(() => true);
    return this.#isEnding ||
      await Promise.race([hasEnded, delay(GONE_WITHIN_MS).then(() => false)]);
  }

  /** Exit code and standard output, once it has ended by itself or been told to. */
  async ended(): Promise<{ code: number; stdout: string; log: string }> {
    const [stdout, { code }] = await Promise.all([
      this.#stdout(),
      this.process.status,
      this.#logRead,
    ]);
    return { code, stdout, log: this.#log };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    try {
      this.process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // It has ended already.
    }
    await this.ended();
  }

  write(record: Record<string, unknown>, query = ""): Promise<Response> {
    return fetch(`${this.url}/write${query}`, { method: "POST", body: JSON.stringify(record) });
  }

  /** Writes, and reads the answer: the write id. Must be accepted. */
  async accept(record: Record<string, unknown>, query = ""): Promise<string> {
    const response = await this.write(record, query);
    const text = await response.text();
    assert.ok(response.status === 202 || response.status === 201, `${response.status} ${text}`);
    return response.headers.get("dsproxy-write-id")!;
  }

  /** @param after the id of a write that is to be seen, whichever instance accepted it */
  async read(
    userId: string,
    after?: string,
  ): Promise<{ status: number; value: string; source: string | null }> {
    const response = await fetch(`${this.url}/read?user_id=${encodeURIComponent(userId)}`, {
      ...(after !== undefined && { headers: { "dsproxy-after": after } }),
    });
    return {
      status: response.status,
      value: await response.text(),
      source: response.headers.get("dsproxy-source"),
    };
  }

  /** The status that a path is answered with. */
  async status(path: string): Promise<number> {
    const response = await fetch(this.url + path);
    await response.body?.cancel();
    return response.status;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split("\n").find((line) => line.startsWith(`${name} `));
    assert.ok(line, `no metric ${name}`);
    return Number(line.slice(name.length + 1));
  }

  async #readLog(): Promise<void> {
    for await (const text of this.process.stderr.pipeThrough(new TextDecoderStream())) {
      this.#log += text;
    }
  }

  #stdoutText: Promise<string> | undefined;
  #stdout(): Promise<string> {
    return this.#stdoutText ??= new Response(this.process.stdout).text();
  }
}

/** `DSPROXY_BINARY` names a compiled program to test instead of the sources. */
function programUnderTest(how: HowToRun): { command: string; programArgs: string[] } {
  const { command, programArgs } = plainProgram(how);
  if (how.unprivileged === undefined || Deno.uid() !== 0) return { command, programArgs };
  // Still root, whose caches it reads, but without root's power to pass over permissions.
  const withoutPower = ["--bounding-set", "-dac_override,-dac_read_search"];
  return { command: "setpriv", programArgs: [...withoutPower, "--", command, ...programArgs] };
}

function plainProgram(
  { main, args = [], openFiles }: HowToRun,
): { command: string; programArgs: string[] } {
  const binary = Deno.env.get("DSPROXY_BINARY");
  const [command, ...programArgs] = binary && main === undefined
    ? [binary]
    // A program of the tests may end itself, to be found dead at the worst moment.
    : [
      Deno.execPath(),
      "run",
      ...taskPermissions(),
      ...(main === undefined ? [] : ["--allow-run"]),
      main ?? "main.ts",
      ...args,
    ];
  if (openFiles === undefined) return { command, programArgs };
  return {
    command: "sh",
    programArgs: ["-c", `ulimit -n ${openFiles}; exec "$@"`, "sh", command, ...programArgs],
  };
}

/** Those of `deno task start`, so that a missing one is found here. */
function taskPermissions(): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)) as {
    tasks: { start: string };
  };
  return tasks.start.replaceAll("'", "").split(" ").filter((word) => word.startsWith("--"));
}

/** The environment without anything that would configure the program. */
function inherited(): Record<string, string> {
  const own = new Set(environmentNames());
  return Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => !own.has(name)));
}

/** Polls until `check` holds; fails with `what` after `limitMs`. */
export async function eventually(
  what: string,
  check: () => Promise<boolean>,
  limitMs = 30_000,
): Promise<void> {
  const giveUpAt = Date.now() + limitMs;
  while (!(await check())) {
    assert.ok(Date.now() < giveUpAt, `not within ${limitMs} ms: ${what}`);
    await delay(50);
  }
}
