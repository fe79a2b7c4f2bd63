/**
 * `deno task bench:tuning [rounds] [seconds] [word]`: what the options that people tune do, each
 * against the default, in turn on the same PostgreSQL and Redis; with a word only the trials that
 * have it in their name. Prints a line a setting for the table in docs/operations.md; all share the
 * machine, so that the ratios count.
 */
import { writeEveryUser } from "./load/every_user.ts";
import type { OneRequest } from "./load/template.ts";
import { closedLoop, type LoadFigures } from "./load/wrk.ts";
import { print } from "./print.ts";
import { inTurn } from "./rounds.ts";
import { type Behind, type Service, startService } from "./sides/service.ts";
import { Servers } from "./sides/servers.ts";
import { median, ratios, spread } from "./statistics.ts";

const [rounds = 3, seconds = 2] = Deno.args.slice(0, 2).map(Number);
const word = Deno.args[2] ?? "";
const USERS = 1_000;

type Settings = Readonly<Record<string, string>>;

interface Trial {
  readonly what: string;
  readonly behind: Behind;
  readonly connections: number;
  /** All of them have it. */
  readonly common?: Settings;
  /** The first of them is what the others are compared with. */
  readonly settings: readonly Settings[];
  /** One load lasts at least so long: the default has flushes 2 s apart. */
  readonly leastSeconds?: number;
  readonly request: (service: Service) => OneRequest;
}

const write = (ack?: string) => ({ requests }: Service): OneRequest => ({
  ...requests.write,
  path: ack === undefined ? "/write" : `/write?ack=${ack}`,
});
const read = ({ requests }: Service): OneRequest => requests.read;

const TRIALS: readonly Trial[] = [
  {
    what: "writes, 64 connections",
    behind: "PostgreSQL + Redis",
    connections: 64,
    settings: [{}, { ACK: "accepted" }, { ACK: "flushed" }],
    request: write(),
  },
  {
    what: "durable writes, 64 connections",
    behind: "PostgreSQL",
    connections: 64,
    settings: [
      {},
      { BATCH_SIZE: "1" },
      { BATCH_SIZE: "2000" },
      { BATCH_INTERVAL: "100ms" },
      { BATCH_MAX: "500" },
    ],
    request: write(),
  },
  {
    what: "flushed writes, 4 connections",
    behind: "PostgreSQL",
    connections: 4,
    leastSeconds: 5,
    settings: [{}, { BATCH_INTERVAL: "200ms" }, { BATCH_INTERVAL: "50ms" }, { BATCH_SIZE: "1" }],
    request: write("flushed"),
  },
  {
    what: "cold reads, 64 connections",
    behind: "PostgreSQL",
    connections: 64,
    common: { CACHE_LOCAL_MAX: "0" },
    settings: [{}, { DB_POOL_SIZE: "1" }, { DB_POOL_SIZE: "2" }, { DB_POOL_SIZE: "16" }],
    request: read,
  },
  {
    what: "reads of 1,000 users, 64 connections",
    behind: "PostgreSQL + Redis",
    connections: 64,
    settings: [{}, { CACHE_LOCAL_MAX: "0" }, { CACHE_TTL: "1s" }],
    request: read,
  },
];

function nameOf(settings: Settings): string {
  const text = Object.entries(settings).map(([name, value]) => `${name}=${value}`).join(" ");
  return text === "" ? "default" : text;
}

async function carryOut(servers: Servers, trial: Trial): Promise<void> {
  const { what, behind, connections, common = {}, leastSeconds = 0, request } = trial;
  const sides: Service[] = [];
  try {
    for (const settings of trial.settings) {
      const name = nameOf(settings);
      const all = { ...common, ...settings };
      const side = await startService(servers, { name, behind, checkout: ".", settings: all });
      sides.push(side);
      await writeEveryUser(side, USERS);
      await side.settled();
    }
    const found = await inTurn(sides, rounds, async (side) => {
      const figures = await closedLoop(side.url, request(side), {
        connections,
        seconds: Math.max(seconds, leastSeconds),
        users: USERS,
      });
      await side.settled();
      return figures;
    });
    const of = (side: Service, figure: keyof LoadFigures) =>
      found.get(side)!.map((round) => round[figure]);
    for (const side of sides) {
      const compared = ratios(of(side, "perSecond"), of(sides[0]!, "perSecond"));
      const [p50Ms, p99Ms] = [median(of(side, "p50Ms")), median(of(side, "p99Ms"))];
      print(
        `| ${what} | ${side.name === "default" ? "default" : `\`${side.name}\``} | ${
          spread(compared, 2)
        } | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} |`,
      );
    }
  } finally {
    for (const side of sides) await side[Symbol.asyncDispose]();
  }
}

await using servers = await Servers.start();
print(`${rounds} rounds of ${seconds} s; a second against the default, p50 and p99 in ms`);
for (const trial of TRIALS) if (trial.what.includes(word)) await carryOut(servers, trial);
