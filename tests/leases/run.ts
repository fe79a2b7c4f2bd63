/**
 * `deno task leases [--only TEXT]`: tries the leases as often as the table says, and writes
 * docs/leases.md. Takes about ten minutes. Ends with 1 when two leaders committed, or nobody led for
 * too long. With `--only` nothing is written.
 */
import { parseArgs } from "node:util";
import { startPostgres } from "../support/postgres.ts";
import { Random } from "../support/random.ts";
import { type Row, table } from "../surroundings/table.ts";
import { versions } from "../surroundings/versions.ts";
import { LIFE_MS } from "./electorate.ts";
import type { Verdict } from "./trial.ts";
import { TRIALS } from "./trials.ts";
import { LONGEST_MS, tryOut } from "./try_out.ts";

const PAGE = new URL("../../docs/leases.md", import.meta.url);
// deno-fmt-ignore
const HEAD = [
  "trial", "how it is made", "the lease is kept by", "times", "terms begun", "commits",
  "commits refused by the term", "two that committed", "longest without a leader",
];

let faults = 0;

function cellsOf({ times, terms, commits, refused, tooLate, longestMs }: Verdict): Row {
  for (const text of tooLate.slice(0, 10)) blame(text);
  if (longestMs > LONGEST_MS) blame(`nobody led for ${longestMs} ms`);
  const longest = `${(Math.max(0, longestMs) / 1000).toFixed(1)} s`;
  return [times, terms, commits, refused, tooLate.length, longest];
}

function blame(text: string): void {
  faults++;
  print(`  broken: ${text}`);
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

async function tryAll(only: string, seed: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const trial of TRIALS.filter(({ what }) => what.includes(only))) {
    for (const keeper of trial.keepers) {
      const { what, how, times: { many } } = trial;
      print(`${what} (${keeper}): ${many} times …`);
      const cells = cellsOf(await tryOut(trial, keeper, many, new Random(seed)));
      rows.push([what, how, keeper, ...cells]);
      print(`  ${cells.join(" | ")}`);
    }
  }
  return rows;
}

function pageOf(rows: readonly Row[], caption: string): string {
  return `# Leases, tried

${caption} Nothing here is typed by hand.

Three processes lead in turn, as the service does (\`src/cluster/leadership.ts\`), with a lease that
lives for ${LIFE_MS / 1000} s instead of 10 s, each with ways of its own to Redis and to PostgreSQL
that can be cut. While one believes to lead it commits its term as fast as it can, and does not stop
when it is told to, but when the store refuses it (or 3 s later). Each commit takes a number that only one
transaction at a time can take, so that the order of the numbers is the order of the commits. *Two
that committed*: commits of a term that came after one of a later term, or by another leader than
the term's own; it has to be 0. *Longest without a leader*: the longest time between two commits; a
time in which Redis did not run is left out. It is short where the old leader, who does not stop,
is overtaken by the next one, and more than a life where it was frozen within a transaction, which
the server ends after 2 s here, or where all who could lead were overtaken and rest.

${table(HEAD, rows)}
`;
}

async function main(only: string, seed: number): Promise<number> {
  await using database = await startPostgres();
  Deno.env.set("TEST_DATABASE_URL", database.url);
  const rows = await tryAll(only, seed);
  if (only === "") {
    const caption = `Written by \`deno task leases\` (seed ${seed}; ${await versions()}).`;
    await Deno.writeTextFile(PAGE, pageOf(rows, caption));
    print("written: docs/leases.md");
  }
  print(`${rows.length} trials, ${faults} faults`);
  return faults === 0 && rows.length > 0 ? 0 : 1;
}

const { values: { only = "" } } = parseArgs({ options: { only: { type: "string" } } });
Deno.exit(await main(only, Number(Deno.env.get("FAULT_SEED") ?? 1)));
