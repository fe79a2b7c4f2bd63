/**
 * `deno task bench:scaled [--minutes N] [--rounds N] [--only chaos|workers|cost|model]`: tries API
 * servers and workers around each broker, and writes docs/scaling_results.md. Ends with 1 when a
 * promise was broken.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { BROKEN } from "../tests/fault/load.ts";
import { type Chaos, runChaos } from "../tests/scaled/chaos.ts";
import { type EngineName, ENGINES } from "../tests/scaled/engines.ts";
import { startPostgres } from "../tests/support/postgres.ts";
import { Random } from "../tests/support/random.ts";
import { startRedis } from "../tests/support/redis.ts";
import { print } from "./print.ts";
import { measureCost } from "./scaled/cost.ts";
import { measureModel } from "./scaled/model.ts";
import { measureWorkers } from "./scaled/workers.ts";

const RESULTS = new URL("../docs/scaling_results.md", import.meta.url);
const SERVERS = 3;
const WORKERS = 3;

type Row = readonly (string | number)[];

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    rounds: { type: "string", default: "5" },
    only: { type: "string", default: "" },
  },
});
const engines = Object.keys(ENGINES) as EngineName[];
const seed = Number(Deno.env.get("FAULT_SEED") ?? 1);
const rounds = Number(values.rounds);
let broken = 0;

const HEAD = `# Past one machine: what was seen

Written by \`deno task bench:scaled\` (Deno ${Deno.version.deno}, ${cpus().length} processors for all of it), part by part. Nothing here is typed by hand.
`;

async function oldResults(): Promise<string> {
  try {
    return await Deno.readTextFile(RESULTS);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** Returns the sections of an earlier run with those of this one in their places. */
function withSections(before: string, now: string): string {
  const sectionsOf = (text: string) =>
    new Map(
      text.split(/^(?=## )/m).filter((part) => part.startsWith("## ")).map((part) =>
        [part.slice(0, part.indexOf("\n")), `${part.trimEnd()}\n`] as const
      ),
    );
  return [...new Map([...sectionsOf(before), ...sectionsOf(now)]).values()].join("\n");
}

function wants(part: string): boolean {
  return values.only === "" || values.only === part;
}

async function tryChaos(): Promise<string> {
  // What is killed here is each engine's own, so that both have their minutes at once.
  const rows = await Promise.all(engines.map(async (engine) => {
    print(`chaos: ${engine}, ${values.minutes} minutes …`);
    const chaos = await runChaos({
      ...{ engine, servers: SERVERS, workers: WORKERS },
      lastsMs: Number(values.minutes) * 60_000,
      random: new Random(seed),
    });
    const { missing, doubled, strays } = chaos.audited;
    broken += missing + doubled + strays;
    broken += BROKEN.reduce((sum, kind) => sum + chaos[kind].length, 0);
    for (const kind of BROKEN) for (const text of chaos[kind]) print(`  ${kind}: ${text}`);
    const row = chaosRow(engine, chaos);
    print(`  ${row.join(" | ")}`);
    return row;
  }));
  return `## Whoever is killed

${SERVERS} API servers and ${WORKERS} workers as processes, one broker, one PostgreSQL, one Redis; ${
    SERVERS * 4
  } clients write and read back at their API server for ${values.minutes} minutes, while one of the processes or the broker
is killed (\`kill -9\`) again and again, and started again up to two seconds later (seed ${seed}). At the end
\`dsproxy audit\` judges the same database: it has each number that was given out, accepted writes that nobody was promised among them.

${
    table([
      "broker",
      "API servers killed",
      "workers killed",
      "broker killed",
      "acknowledged",
      "lost",
      "doubled",
      "reads",
      "outdated",
      "unexpected",
      "the audit: writes",
      "missing",
      "doubled, strays",
    ], rows)
  }
`;
}

function chaosRow(engine: string, chaos: Chaos): Row {
  const { killed, acknowledged, audited, lost, doubled, reads, wrong, absent, unexpected } = chaos;
  return [
    engine,
    killed.servers,
    killed.workers,
    killed.brokers,
    acknowledged,
    lost.length,
    doubled.length,
    reads,
    wrong.length + absent.length,
    unexpected.length,
    audited.numbers,
    audited.missing,
    `${audited.doubled}, ${audited.strays}`,
  ];
}

function table(head: Row, rows: readonly Row[]): string {
  const line = (cells: Row) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

async function measure(): Promise<string> {
  const parts: string[] = [];
  if (wants("chaos")) parts.push(await tryChaos());
  if (wants("workers")) {
    const rows: Row[] = [];
    for (const engine of engines) rows.push(await measureWorkers(engine, rounds));
    parts.push(`## Two workers and one

Each flush takes 50 ms longer (a trigger sleeps), a flush has 200 rows at most, and the workers find everything at the broker already. ${rounds} rounds, one and two workers in turn.

${table(["broker", "rows a second, one", "rows a second, two", "two / one"], rows)}
`);
  }
  if (wants("cost")) {
    const { ways, tiers, million } = await measureCost(engines, rounds);
    parts.push(`## What the way through a broker costs

\`wrk\` with 64 connections writes \`durable\` at one API server, with one worker and the broker on the same ${cpus().length} processors, and at the single process, in turn, ${rounds} rounds.
Processor time is that of everything on the machine but \`wrk\` and this program, until all is stored.

${table(ways.head, ways.rows)}

Of these microseconds a write take:

${table(tiers.head, tiers.rows)}

A million writes a second would keep so many processors like these busy, as a microsecond a write is one of them:

${table(million.head, million.rows)}
`);
  }
  if (wants("model")) {
    const rows: Row[] = [];
    for (const engine of engines) rows.push(...await measureModel(engine));
    parts.push(`## The model against real instances

The model of [scaling.md](scaling.md), with what one API server and one worker cost on this machine, predicts two and three API servers on its ${cpus().length} processors.

${
      table([
        "broker",
        "API servers",
        "one with as many clients, writes a second",
        "its µs a write",
        "predicted writes a second",
        "measured",
        "measured / predicted",
      ], rows)
    }
`);
  }
  return parts.join("\n");
}

const database = await startPostgres();
const redis = await startRedis();
Deno.env.set("TEST_DATABASE_URL", database.url);
Deno.env.set("TEST_REDIS_URL", redis.url);
let text = "";
try {
  text = await measure();
} finally {
  await redis.dispose();
  await database.dispose();
}
await Deno.writeTextFile(RESULTS, `${HEAD}\n${withSections(await oldResults(), text)}`);
print("written: docs/scaling_results.md");
Deno.exit(broken === 0 ? 0 : 1);
