/** Starts a program that says where it listens, and ends it. */
import { environmentNames } from "../../src/config/options.ts";
import { delay, output } from "../../tests/support/services.ts";

const START_LIMIT_MS = 120_000;
const POLL_MS = 20;
/** A log that nobody asks for is cut to its end. */
const LOG_CHARACTERS_MAX = 100_000;

export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Program implements AsyncDisposable {
  #log = "";
  #hasEnded = false;
  readonly #process: Deno.ChildProcess;
  readonly #read: Promise<unknown>;

  constructor({ command, args, cwd, env = {} }: ProgramOptions) {
    this.#process = new Deno.Command(command, {
      args: [...args],
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...inherited(), ...env },
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { stdout, stderr, status } = this.#process;
    this.#read = Promise.all([this.#keep(stdout), this.#keep(stderr)]);
    void status.then(() => this.#hasEnded = true);
  }

  get pid(): number {
    return this.#process.pid;
  }
  get hasEnded(): boolean {
    return this.#hasEnded;
  }
  get log(): string {
    return this.#log;
  }

  /** Returns the base URL once it has said it. @throws when it ends instead, or takes too long */
  async listening(): Promise<string> {
    const giveUpAt = Date.now() + START_LIMIT_MS;
    for (;;) {
      const url = /listening on (http:\/\/[^"\s]+)/.exec(this.#log)?.[1];
      if (url !== undefined) return url;
      if (this.#hasEnded) throw new Error(`It ended instead of listening: ${this.#log}`);
      if (Date.now() > giveUpAt) throw new Error(`It does not start: ${this.#log}`);
      await delay(POLL_MS);
    }
  }

  /** Returns its resident memory; the most it ever had with `VmHWM`. */
  async residentMiB(line: "VmRSS" | "VmHWM" = "VmRSS"): Promise<number> {
    // By a program: Deno reads there only with every permission.
    const text = await output("cat", [`/proc/${this.pid}/status`]);
    return Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, "m").exec(text)![1]) / 1024;
  }

  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (!this.#hasEnded) this.#process.kill(signal);
    await this.#process.status;
    await this.#read;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  async #keep(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      this.#log = (this.#log + text).slice(-LOG_CHARACTERS_MAX);
    }
  }
}

/** The environment without anything that would configure the service. */
function inherited(): Record<string, string> {
  const own = new Set(environmentNames());
  return Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => !own.has(name)));
}
