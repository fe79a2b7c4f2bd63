/**
 * `deno task test [files and options of deno test]`: starts PostgreSQL and Redis for the run (or
 * uses those that TEST_DATABASE_URL and TEST_REDIS_URL name), runs the tests, and leaves no process
 * behind. Options that take a value are written with `=`, as `--filter=name`. The last line is `N
 * passed, N failed`; an ignored test counts as failed.
 */
import { stripVTControlCharacters } from "node:util";
import {
  CHROMIUM,
  installed,
  installMissing,
  NGINX,
  PGBOUNCER,
  POSTGRES,
  type Program,
  PROMETHEUS,
  REDIS,
} from "./support/installed.ts";
import { output, type TestServer } from "./support/services.ts";
import { startPostgres } from "./support/postgres.ts";
import { startRedis } from "./support/redis.ts";

const PERMISSIONS = [
  // Not narrowed to this machine: a Unix socket could be allowed only by its whole path, and those
  // of the tests are in fresh folders.
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-run",
  "--allow-env",
  "--allow-sys",
];

interface Services {
  readonly description: string;
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

async function startServices(): Promise<Services> {
  const wanted: readonly Program[] = [POSTGRES, REDIS, PGBOUNCER, NGINX, CHROMIUM, PROMETHEUS];
  await installMissing(
    wanted.filter(({ urlVariable }) => urlVariable === undefined || !Deno.env.get(urlVariable)),
  );
  const [database, redis] = await Promise.allSettled([
    service(POSTGRES.urlVariable, "PostgreSQL", startPostgres, () => installed(POSTGRES)),
    service(REDIS.urlVariable, "Redis", startRedis, () => installed(REDIS)),
  ]);
  const stop = async () => {
    for (const started of [database, redis]) {
      if (started.status === "fulfilled") await started.value.server?.dispose();
    }
  };
  if (database.status === "fulfilled" && redis.status === "fulfilled") {
    const env = {
      [POSTGRES.urlVariable]: database.value.url,
      [REDIS.urlVariable]: redis.value.url,
    };
    return { description: `${database.value.description}, ${redis.value.description}`, env, stop };
  }
  await stop();
  throw database.status === "rejected"
    ? database.reason
    : redis.status === "rejected"
    ? redis.reason
    : undefined;
}

async function service(
  variable: string,
  name: string,
  start: () => Promise<TestServer>,
  path: () => Promise<string>,
) {
  const given = Deno.env.get(variable);
  if (given) return { url: given, description: `${name} of ${variable}`, server: undefined };
  const program = await path();
  const version = /\d+\.\d+(\.\d+)?/.exec(await output(program, ["--version"]))?.[0] ??
    "of unknown version";
  const folder = program.slice(0, program.lastIndexOf("/"));
  const server = await start();
  return {
    url: server.url,
    description: `${name} ${version} (${folder}, started for this run)`,
    server,
  };
}

interface Result {
  readonly passed: number;
  readonly failed: number;
  readonly code: number;
}

/**
 * The tests run in a process group of their own, so that whatever they started can be ended with
 * them.
 */
async function runTests(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Result> {
  const paths = args.some((arg) => !arg.startsWith("-")) ? [] : ["tests/"];
  const colour = Deno.stdout.isTerminal() && Deno.env.get("NO_COLOR") === undefined;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--parallel", ...PERMISSIONS, ...args, ...paths],
    env: colour ? { ...env, FORCE_COLOR: "1" } : env,
    stdin: "null",
    stdout: "piped",
    detached: true,
  }).spawn();
  const forward = (signal: Deno.Signal) => () => {
    signalGroup(child.pid, interrupted ? "SIGKILL" : signal);
    interrupted = true;
  };
  let interrupted = false;
  const [onInterrupt, onTerminate] = [forward("SIGINT"), forward("SIGTERM")];
  Deno.addSignalListener("SIGINT", onInterrupt);
  Deno.addSignalListener("SIGTERM", onTerminate);
  try {
    const [tail, status] = await Promise.all([copyOut(child.stdout), child.status]);
    return summary(tail, interrupted ? status.code || 130 : status.code);
  } finally {
    signalGroup(child.pid, "SIGKILL");
    Deno.removeSignalListener("SIGINT", onInterrupt);
    Deno.removeSignalListener("SIGTERM", onTerminate);
  }
}

function signalGroup(leader: number, signal: Deno.Signal): void {
  try {
    Deno.kill(-leader, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // Nobody is left in the group.
  }
}

/** Passes the output on as it comes, and returns the end of it, where the summary is. */
async function copyOut(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const chunk of stream) {
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-10_000);
    for (let written = 0; written < chunk.length;) {
      written += Deno.stdout.writeSync(chunk.subarray(written));
    }
  }
  return tail;
}

/**
 * Reads `ok | 3 passed (2 steps) | 0 failed | 1 ignored (5ms)`, the line that `deno test` ends
 * with.
 */
function summary(tail: string, code: number): Result {
  const plain = stripVTControlCharacters(tail);
  const line = plain.split("\n").findLast((text) => /^(ok|FAILED) \| \d+ passed/.test(text)) ?? "";
  const count = (word: string) => Number(new RegExp(`\\| (\\d+) ${word}`).exec(line)?.[1] ?? 0);
  const failed = count("failed") + count("ignored");
  // Failed before or beside the tests, for example on a type error.
  return { passed: count("passed"), failed: code !== 0 && failed === 0 ? 1 : failed, code };
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function main(): Promise<number> {
  const services = await startServices();
  try {
    print(`services: ${services.description}`);
    const { passed, failed, code } = await runTests(Deno.args, services.env);
    print(`${passed} passed, ${failed} failed`);
    return code !== 0 ? code : failed > 0 || passed === 0 ? 1 : 0;
  } finally {
    await services.stop();
  }
}

Deno.exit(await main());
