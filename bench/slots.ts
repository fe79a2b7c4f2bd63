/**
 * `deno task bench:slots [--rounds N]`: lets six instances flush to one slow PostgreSQL, without
 * slots and with, in turn, and writes docs/slots_results.md. Ends with 1 when something was not
 * stored once.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { flushToSlowStore, type SlowStoreReport } from "../tests/scaled/slow_store.ts";
import { simulateFlushes } from "../tests/cluster/flush_simulation.ts";
import { startPostgres } from "../tests/support/postgres.ts";
import { print } from "./print.ts";
import { ratios, spread } from "./statistics.ts";

const RESULTS = new URL("../docs/slots_results.md", import.meta.url);
const ROW_MS = 2;
const BATCH_MAX = 1_000;
const WRITES_EACH = 2_000;
const SLOW_WAYS = [undefined, 1, 2] as const;
const FAST_WAYS = [undefined, 2] as const;
const FIFTY = { instances: 50, rows: 20_000, limitMs: 1_200_000 };
const FIFTY_WAYS = [undefined, 1, 2, 4, 8, 12] as const;
const SEEDS = [1, 2, 3, 4, 5];

const { values } = parseArgs({ options: { rounds: { type: "string", default: "3" } } });

const HEAD = [
  "`FLUSH_SLOTS`",
  "rows a second",
  "/ none",
  "flush p50, s",
  "flush p99, s",
  "mean wait for a slot, s",
  "at a time, at most",
  "failed flushes",
  "without a shared slot",
  "rounds with a row lost or doubled",
];

function nameOf(slots: number | undefined): string {
  return slots === undefined ? "none" : String(slots);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** @param part of all, from 0 through 1 */
function secondsAt({ flushMs }: SlowStoreReport, part: number): number {
  return flushMs[Math.min(flushMs.length - 1, Math.floor(part * flushMs.length))]! / 1_000;
}

async function measure(
  rounds: number,
  ways: readonly (number | undefined)[],
  rowMs: number,
): Promise<string[][]> {
  const reports = new Map<number | undefined, SlowStoreReport[]>(ways.map((way) => [way, []]));
  for (let round = 0; round < rounds; round++) {
    for (const slots of ways) {
      const shape = { writesEach: WRITES_EACH, rowMs, batchMax: BATCH_MAX };
      const report = await flushToSlowStore({ ...shape, ...(slots !== undefined && { slots }) });
      reports.get(slots)!.push(report);
      const { rowsPerSecond, most, failed, fallbacks } = report;
      print(
        `${nameOf(slots)}: ${rowsPerSecond.toFixed(0)}/s, ${most} at most, ${failed} failed, ` +
          `${fallbacks} without a shared slot`,
      );
    }
  }
  const base = reports.get(undefined)!.map(({ rowsPerSecond }) => rowsPerSecond);
  return ways.map((slots) => rowOf(slots, reports.get(slots)!, base));
}

function rowOf(
  slots: number | undefined,
  all: readonly SlowStoreReport[],
  base: readonly number[],
): string[] {
  const rates = all.map(({ rowsPerSecond }) => rowsPerSecond);
  return [
    nameOf(slots),
    spread(rates),
    spread(ratios(rates, base)),
    spread(all.map((report) => secondsAt(report, 0.5))),
    spread(all.map((report) => secondsAt(report, 0.99))),
    slots === undefined ? "–" : spread(all.map(({ meanWaitMs }) => meanWaitMs / 1_000)),
    spread(all.map(({ most }) => most), 0),
    spread(all.map(({ failed }) => failed), 0),
    spread(all.map(({ fallbacks }) => fallbacks), 0),
    String(all.filter(({ rows, distinct }) => !isOnce(rows, distinct)).length),
  ];
}

function isOnce(rows: number, distinct: number): boolean {
  return rows === distinct && rows === 6 * WRITES_EACH;
}

async function simulateFifty(): Promise<string[][]> {
  const rows: string[][] = [];
  for (const slots of FIFTY_WAYS) {
    const all = [];
    for (const seed of SEEDS) {
      all.push(await simulateFlushes({ ...FIFTY, seed, ...(slots !== undefined && { slots }) }));
    }
    rows.push([
      nameOf(slots),
      spread(all.map(({ stored, tookMs }) => stored / tookMs * 1_000)),
      spread(all.map(({ most }) => most), 0),
      spread(all.map(({ failed }) => failed), 0),
      spread(all.map(({ flushes }) => flushes), 0),
      spread(all.map(({ longestWaitMs }) => longestWaitMs / 1_000)),
    ]);
  }
  return rows;
}

const fifty = await simulateFifty();
const database = await startPostgres();
Deno.env.set("TEST_DATABASE_URL", database.url);
const rounds = Number(values.rounds);
let [slow, fast]: string[][][] = [[], []];
try {
  slow = await measure(rounds, SLOW_WAYS, ROW_MS);
  fast = await measure(rounds, FAST_WAYS, 0);
} finally {
  await database.dispose();
}

await Deno.writeTextFile(
  RESULTS,
  `# Flushes with slots and without: what was seen

Written by \`deno task bench:slots\` (Deno ${Deno.version.deno}, ${cpus().length} processors for all of it). Nothing here is typed by hand. Figures are median (least..most).

## Six processes and a slow PostgreSQL

Six instances (\`QUEUE=journal\`, \`BATCH_MAX=${BATCH_MAX}\`) with one Redis are given ${WRITES_EACH} writes each, as fast as they take them. A trigger makes the database as slow as a disk of ${
    1_000 / ROW_MS
  } rows a second, which all flushes under way share alike; a flush has ten seconds. ${values.rounds} rounds, the ways in turn.

${table(HEAD, slow)}

The times are those that the database saw, of flushes that failed, too; the number at a time is the most that \`pg_stat_activity\` showed.

## Six processes and a PostgreSQL that is not slow

The same without the slow disk: what bounds it is the ${cpus().length} processors that all of it shares.

${table(HEAD, fast)}

## Fifty in a simulation

Each has ${FIFTY.rows} rows for a disk of 10,000 rows a second that loses a fiftieth of that to each further flush at the same time (\`tests/cluster/flush_simulation.ts\`); ${SEEDS.length} seeds.

${
    table([
      "`FLUSH_SLOTS`",
      "rows a second",
      "at a time, at most",
      "failed flushes",
      "flushes",
      "longest wait for a slot, s",
    ], fifty)
  }
`,
);
print("written: docs/slots_results.md");
Deno.exit([...slow, ...fast].every((row) => row.at(-1) === "0") ? 0 : 1);
