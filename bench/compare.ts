/**
 * `deno task bench:compare OTHER [rounds]`: this checkout against another one of this project, in
 * turn, on the same PostgreSQL and Redis, under `wrk` with 64 connections: durable writes, then
 * reads of what is in the cache. Prints each side's median and spread, and the median of the ratios
 * of neighbouring rounds; both sides and the load share the machine, so that only ratios count.
 */
import { installed, WRK } from "../tests/support/installed.ts";
import { once, startPostgres } from "../tests/support/postgres.ts";
import { startRedis } from "../tests/support/redis.ts";
import { delay } from "../tests/support/services.ts";

const CONNECTIONS = 64;
const SECONDS = 6;
/** Every user is in every tier after the first round of writes. */
const USERS = 1_000;
const START_LIMIT_MS = 60_000;

const [other, roundsText = "7"] = Deno.args;
const rounds = Number(roundsText);
if (other === undefined || !(rounds > 0)) {
  throw new Error("Use: deno task bench:compare OTHER_CHECKOUT [rounds]");
}

const WRITES = `
local n = 0
local headers = { ["content-type"] = "application/json" }
request = function()
  n = n + 1
  local body = string.format('{"user_id":"user%d","value":"value %d"}', math.random(${USERS}), n)
  return wrk.format("POST", "/write", headers, body)
end
`;
const READS = `
request = function() return wrk.format("GET", "/read?user_id=user" .. math.random(${USERS})) end
`;

interface Side {
  readonly name: string;
  readonly url: string;
  readonly process: Deno.ChildProcess;
  readonly writes: number[];
  readonly reads: number[];
  readonly residentMiB: number[];
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}

interface Servers {
  readonly postgresUrl: string;
  readonly redisUrl: string;
  readonly folder: string;
}

async function start(name: string, checkout: string, servers: Servers): Promise<Side> {
  await once(servers.postgresUrl, (sql) => sql.unsafe(`create database ${name}`));
  const databaseUrl = new URL(servers.postgresUrl);
  databaseUrl.pathname = name;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "start"],
    cwd: checkout,
    env: {
      PROXY_PORT: "0",
      PROXY_HOST: "127.0.0.1",
      LOG_FORMAT: "json",
      DATA_DIR: `${servers.folder}/${name}`,
      DATABASE_URL: databaseUrl.href,
      REDIS_URL: servers.redisUrl,
      CACHE_PREFIX: `compare-${name}:`,
    },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let log = "";
  void (async () => {
    for await (const text of process.stderr.pipeThrough(new TextDecoderStream())) log += text;
  })();
  const giveUpAt = Date.now() + START_LIMIT_MS;
  for (;;) {
    const url = /listening on (http:\/\/[^"\s]+)/.exec(log)?.[1];
    if (url !== undefined) return { name, url, process, writes: [], reads: [], residentMiB: [] };
    if (Date.now() > giveUpAt) throw new Error(`${name} does not start: ${log}`);
    await delay(50);
  }
}

/** Requests a second. @throws when some were not answered well */
async function load(side: Side, script: string, folder: string): Promise<number> {
  const path = `${folder}/load.lua`;
  await Deno.writeTextFile(path, script);
  const { stdout } = await new Deno.Command(wrk, {
    args: ["-t1", `-c${CONNECTIONS}`, `-d${SECONDS}s`, "-s", path, side.url],
    stdout: "piped",
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (/Non-2xx/.test(text)) throw new Error(`${side.name} refused some: ${text}`);
  return Number(/Requests\/sec:\s+([0-9.]+)/.exec(text)![1]);
}

const wrk = await installed(WRK);

async function metric(side: Side, name: string): Promise<number> {
  const text = await (await fetch(`${side.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)![1]);
}

async function untilDrained(side: Side): Promise<void> {
  while (await metric(side, "dsproxy_queue_depth") > 0) await delay(100);
}

async function round(side: Side, folder: string): Promise<void> {
  side.writes.push(await load(side, WRITES, folder));
  side.residentMiB.push(await metric(side, "process_resident_memory_bytes") / 2 ** 20);
  await untilDrained(side);
  side.reads.push(await load(side, READS, folder));
}

function describe(values: readonly number[], digits = 0): string {
  const sorted = values.toSorted((a, b) => a - b);
  const [least, median, most] = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!];
  return `${median.toFixed(digits)} (${least.toFixed(digits)}..${most.toFixed(digits)})`;
}

await using postgres = await startPostgres();
await using redis = await startRedis();
const folder = await Deno.makeTempDir({ prefix: "dsproxy-compare-" });
const servers = { postgresUrl: postgres.url, redisUrl: redis.url, folder };
const sides: Side[] = [];
try {
  sides.push(await start("other_side", other, servers), await start("this_side", ".", servers));
  for (const side of sides) await round(side, folder); // To warm up; not counted.
  for (const side of sides) side.writes.length = side.reads.length = side.residentMiB.length = 0;
  for (let i = 0; i < rounds; i++) {
    for (const side of i % 2 === 0 ? sides : sides.toReversed()) await round(side, folder);
  }
  const [before, now] = sides as [Side, Side];
  for (const figure of ["writes", "reads", "residentMiB"] as const) {
    const ratios = now[figure].map((value, i) => value / before[figure][i]!);
    print(
      `${figure.padEnd(12)} other ${describe(before[figure])}, this ${describe(now[figure])}, ` +
        `this/other ${describe(ratios, 2)}`,
    );
  }
} finally {
  for (const { process } of sides) {
    process.kill("SIGTERM");
    await process.status;
  }
  await Deno.remove(folder, { recursive: true });
}
