/**
 * `deno task reliability [--only TEXT]`: tries every fault as often as the report says, and writes
 * docs/reliability.md. Takes about half an hour. Ends with 1 when a promise was broken.
 */
import { parseArgs } from "node:util";
import { simulate } from "../simulation/simulation.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { output } from "../support/services.ts";
import { Random } from "../support/random.ts";
import { BROKEN } from "./load.ts";
import type { Scenario, Tally } from "./scenario.ts";
import { DISK } from "./scenarios/disk.ts";
import { POSTGRES } from "./scenarios/postgres.ts";
import { PROCESS } from "./scenarios/process.ts";
import { REDIS } from "./scenarios/redis.ts";

const REPORT = new URL("../../docs/reliability.md", import.meta.url);
const SIMULATED_SEEDS = 20_000;
/** What the simulation counts, in the report's words. */
const SIMULATED: readonly (readonly [string, string, string])[] = [
  [
    "power loss",
    "the power goes",
    "unsynced writes are lost by sector, unsynced names from some moment on",
  ],
  ["kill", "the process is killed", "at any event, its calls half done"],
  ["bit flipped", "the disk flips a bit", "anywhere in a segment; only the record hit may be lost"],
  ["sync failed", "fsync fails", "the pages are called clean, and what they held may be gone"],
  ["disk full", "the disk is full", "writes end half way with ENOSPC"],
  ["write failed", "a write fails", "half way with EIO"],
  ["store cut after", "the answer to a commit is lost", "the connection breaks after the commit"],
  [
    "store deadline",
    "the database answers too late or never",
    "it may still commit, seconds later",
  ],
  ["deadlock", "a deadlock", "40P01 for one of five flushes"],
  ["row refused", "the database refuses a row", "23514 for one row of ten"],
  ["worker killed", "a worker is killed", "between any two events, also after its commit"],
  ["broker refused", "the broker is away", "connections are refused, for seconds"],
  ["broker cut after", "the broker's confirm is lost", "the message is there all the same"],
  ["broker has a message twice", "the broker repeats a message", "at once or much later"],
  ["broker reorders", "the broker gives out of order", "one message is overtaken by another"],
  ["broker gives again", "the broker gives again", "what a worker had and did not acknowledge"],
  ["broker lost what it confirms", "the broker's disk burns", "a confirmed message is gone"],
  ["broker configured away", "the way changes", "from broker to journal, on the same directory"],
  ["clock step", "the clock is set", "one hour forward or back"],
  ["cache flushed", "the cache forgets everything", "at any event"],
  [
    "cache deadline",
    "the cache answers too late or never",
    "it may still take effect, up to 1 s later",
  ],
];

type Row = readonly (string | number)[];

async function tryAll(scenarios: readonly Scenario[], seed: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const scenario of scenarios) {
    print(`${scenario.fault}: ${scenario.rounds.many} times …`);
    const tally = await scenario.run(scenario.rounds.many, new Random(seed));
    rows.push(rowOf(scenario, tally));
    broken += brokenIn(tally);
    print(`  ${rows.at(-1)!.slice(2).join(" | ")}`);
  }
  return rows;
}

function rowOf({ fault, how }: Scenario, tally: Tally): Row {
  const { tried, acknowledged, lost, doubled, wrong, absent, recoveriesMs } = tally;
  const sorted = [...recoveriesMs].sort((a, b) => a - b);
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const recovery = `${seconds(sorted[sorted.length >> 1]!)} / ${seconds(sorted.at(-1)!)}`;
  return [
    fault,
    how,
    tried,
    acknowledged,
    lost.length,
    doubled.length,
    wrong.length + absent.length,
    recovery,
  ];
}

function brokenIn(tally: Tally): number {
  for (const text of tally.unexpected) print(`  unexpected: ${text}`);
  return BROKEN.reduce((sum, kind) => sum + tally[kind].length, 0);
}

async function simulateAll(): Promise<{ text: string; rows: Row[] }> {
  print(`simulation: ${SIMULATED_SEEDS} seeds …`);
  const faults = new Map<string, number>();
  let [acknowledged, reads, violations] = [0, 0, 0];
  for (let seed = 1; seed <= SIMULATED_SEEDS; seed++) {
    const outcome = await simulate(seed);
    for (const [kind, count] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
    acknowledged += outcome.acknowledged;
    reads += outcome.reads;
    if (outcome.violation === undefined) continue;
    violations++;
    print(`  seed ${seed}: ${outcome.violation}`);
  }
  broken += violations;
  const text =
    `${SIMULATED_SEEDS} runs, ${acknowledged} acknowledged writes, ${reads} reads; runs in which a promise was ` +
    `broken: ${violations}.`;
  return { text, rows: SIMULATED.map(([kind, fault, how]) => [fault, how, faults.get(kind) ?? 0]) };
}

function table(head: Row, rows: readonly Row[]): string {
  const line = (cells: Row) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

let broken = 0;
const { values: { only = "" } } = parseArgs({ options: { only: { type: "string" } } });
const chosen = [...PROCESS, ...POSTGRES, ...REDIS, ...DISK].filter(({ fault }) =>
  fault.includes(only)
);
const seed = Number(Deno.env.get("FAULT_SEED") ?? 1);
const database = await startPostgres();
const redis = await startRedis();
Deno.env.set("TEST_DATABASE_URL", database.url);
Deno.env.set("TEST_REDIS_URL", redis.url);
const rows = await tryAll(chosen, seed);
if (only === "") {
  const simulation = await simulateAll();
  const { deno } = Deno.version;
  const [program] = database.options.command.split(" ");
  const postgresVersion = (await output(program!, ["--version"])).trim();
  await Deno.writeTextFile(
    REPORT,
    `# Reliability

Written by \`deno task reliability\` (seed ${seed}; Deno ${deno}, ${postgresVersion}). Nothing here is typed by hand.

## Real processes

Eight clients write, and read back what they wrote, all the time; then the fault comes, again and again on the same data directory. *Lost*: acknowledged
with \`202\` and not in PostgreSQL at the end. *Doubled*: there more than once. *Outdated*: reads that returned something older than what their client had been
promised. *Recovery*: from the end of the fault until a new write was committed in PostgreSQL, median and longest; where the process ended, its start is
part of it. After each of them \`dsproxy audit\` has to find nothing missing, doubled or without a mark, else the run ends there.

${
      table([
        "fault",
        "how it is brought about",
        "times",
        "acknowledged",
        "lost",
        "doubled",
        "outdated",
        "recovery",
      ], rows)
    }

## Simulation

The real journal, batcher, writer, reader and cache client in a simulated world, many faults in each run ([ADR 7](adr/0007-deterministic-simulation.md)).
${simulation.text}

${table(["fault", "how it is brought about", "times"], simulation.rows)}
`,
  );
  print(`written: docs/reliability.md`);
}
await redis.dispose();
await database.dispose();
Deno.exit(broken === 0 ? 0 : 1);
