/**
 * One real server started for a test: its process, port and folder, and the ways in which a server
 * goes away.
 */

export interface ServerOptions {
  /** For messages, as `PostgreSQL`. */
  readonly name: string;
  readonly port: number;
  /** Removed by {@link TestServer.dispose}. */
  readonly folder: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The owner of the process; undefined = this process's own. */
  readonly owner: Owner | undefined;
  /** Asks the server to end in order. */
  readonly stopSignal: Deno.Signal;
  /** Resolves when the server answers, rejects as long as it does not. */
  readonly probe: () => Promise<void>;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 20_000;

export class TestServer implements AsyncDisposable {
  readonly port: number;
  #process: Deno.ChildProcess | undefined;

  constructor(readonly url: string, readonly options: ServerOptions) {
    this.port = options.port;
  }

  /** Starts it on the port and data it had before; returns when it answers. */
  async start(): Promise<void> {
    if (this.#process !== undefined) {
      throw new Error(`Cannot start ${this.options.name}: it is running`);
    }
    const giveUpAt = Date.now() + START_LIMIT_MS;
    for (;;) {
      this.#process = this.#spawn();
      const exited = await this.#answersOrExits(this.#process, giveUpAt);
      if (!exited) return;
      this.#process = undefined;
      // What a killed server held (shared memory, the port) may take a moment to be released.
      if (Date.now() > giveUpAt) {
        throw new Error(`${this.options.name} does not start:\n${await this.#lastLog()}`);
      }
      await delay(200);
    }
  }

  /** Ends it in order; its data stays for the next start. */
  async stop(): Promise<void> {
    const process = this.#running("stop");
    await this.resume();
    process.kill(this.options.stopSignal);
    const late = setTimeout(() => this.#signalAll("SIGKILL"), STOP_LIMIT_MS);
    await process.status;
    clearTimeout(late);
    this.#process = undefined;
  }

  /** Ends it and its children at once, as a power cut would. */
  async kill(): Promise<void> {
    const process = this.#running("kill");
    await this.#signalAll("SIGKILL");
    await process.status;
    this.#process = undefined;
  }

  /** Freezes it: connections are still accepted by the kernel, but nothing is answered. */
  pause(): Promise<void> {
    this.#running("pause");
    return this.#signalAll("SIGSTOP");
  }

  resume(): Promise<void> {
    this.#running("resume");
    return this.#signalAll("SIGCONT");
  }

  /** Ends it if it runs, and removes its data. */
  async dispose(): Promise<void> {
    if (this.#process !== undefined) await this.kill();
    await Deno.remove(this.options.folder, { recursive: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #running(verb: string): Deno.ChildProcess {
    if (this.#process === undefined) {
      throw new Error(`Cannot ${verb} ${this.options.name}: it is not running`);
    }
    return this.#process;
  }

  #spawn(): Deno.ChildProcess {
    const { command, args, folder, owner } = this.options;
    // A file for the log: a pipe would have to be read all the time, and blocks the server when it
    // is not.
    return new Deno.Command("sh", {
      args: [
        "-c",
        'log=$1; shift; exec "$@" >>"$log" 2>&1',
        "sh",
        `${folder}/log`,
        command,
        ...args,
      ],
      cwd: folder,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      ...owner,
    }).spawn();
  }

  async #answersOrExits(process: Deno.ChildProcess, giveUpAt: number): Promise<boolean> {
    let exited = false;
    process.status.then(() => exited = true);
    while (!exited) {
      try {
        await this.options.probe();
        return exited;
      } catch (error) {
        if (Date.now() > giveUpAt) {
          await this.#signalAll("SIGKILL");
          await process.status;
          throw new Error(`${this.options.name} does not answer:\n${await this.#lastLog()}`, {
            cause: error,
          });
        }
        await delay(30);
      }
    }
    return true;
  }

  /** The parent first: a stopped or dead one starts no more children while these are looked up. */
  async #signalAll(signal: Deno.Signal): Promise<void> {
    const pid = this.#process?.pid;
    if (pid === undefined) return;
    send(pid, signal === "SIGKILL" ? "SIGSTOP" : signal);
    for (const child of await childrenOf(pid)) send(child, signal);
    if (signal === "SIGKILL") send(pid, signal);
  }

  async #lastLog(): Promise<string> {
    try {
      return (await Deno.readTextFile(`${this.options.folder}/log`)).slice(-2000);
    } catch {
      return "(it wrote no log)";
    }
  }
}

function send(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // It has ended by itself.
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const script = `cat /proc/$1/task/$1/children 2>/dev/null || ps -A -o ppid=,pid= | awk -v p=$1 ` +
    `'$1 == p { print $2 }'`;
  return (await output("sh", ["-c", script, "sh", String(pid)])).split(/\s+/).filter((word) =>
    word !== ""
  ).map(Number);
}

/**
 * A port that was free a moment ago. Below the range from which systems take the ports of outgoing
 * connections, so that none of those takes it while the server is stopped.
 */
export function freePort(): number {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("Cannot find a free port between 20000 and 31999");
}

/** What a program printed; rejects with what it said when it failed. */
export async function output(
  command: string,
  args: readonly string[],
  owner?: Owner,
): Promise<string> {
  const result = await new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    cwd: "/",
    ...owner,
  }).output();
  const text = new TextDecoder();
  if (result.success) return text.decode(result.stdout);
  throw new Error(
    `${command} failed with code ${result.code}: ${text.decode(result.stderr).trim()}`,
  );
}

export function delay(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** The value of a variable that the runner sets. */
export function runVariable(name: string): string {
  const value = Deno.env.get(name);
  if (value) return value;
  throw new Error(
    `${name} is not set. Run tests with \`deno task test\`, which starts the servers they need`,
  );
}
