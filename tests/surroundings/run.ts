/**
 * `deno task surroundings [--only TEXT]`: lives in every surrounding as long as the table says, and
 * writes the table's part of docs/operations.md, between its markers. Takes about ten minutes. Ends
 * with 1 when something was that must not be. With `--only` nothing is written.
 */
import { parseArgs } from "node:util";
import { Random } from "../support/random.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { SURROUNDINGS } from "./all.ts";
import { type Refusal, REFUSED } from "./refused.ts";
import { brokenIn, type Counts, type Surrounding } from "./surrounding.ts";
import { type Row, table, writeBetweenMarkers } from "./table.ts";
import { versions } from "./versions.ts";

const PAGE = new URL("../../docs/operations.md", import.meta.url);
// deno-fmt-ignore
const HEAD = [
  "surrounding", "how it is made", "rounds", "writes acknowledged", "reads", "wrong bodies",
  "false 404s", "503s", "lost", "doubled",
  "stale over 1 s", "note",
];
const REFUSED_HEAD = ["surrounding", "how it is made", "what it does", "what it says"];
const SAYS_MAX = 200;
const FAILED = "**failed**";

let faults = 0;

async function liveIn(surrounding: Surrounding, seed: number): Promise<Row> {
  const { name, how, rounds } = surrounding;
  print(`${name}: ${rounds.many} rounds …`);
  const startedMs = performance.now();
  const cells = await attempt(async () => {
    const counts = await surrounding.run(rounds.many, new Random(seed));
    for (const text of brokenIn(surrounding, counts)) blame(text);
    return cellsOf(surrounding, counts);
  });
  const row = [name, how, rounds.many, ...cells ?? HEAD.slice(3).map(() => FAILED)];
  print(`  ${row.slice(3).join(" | ")} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`);
  return row;
}

function cellsOf({ mayRefuse }: Surrounding, counts: Counts): Row {
  const { acknowledged, reads, refused, dead, note, stale } = counts;
  const [wrong, absent, lost, doubled] = [counts.wrong, counts.absent, counts.lost, counts.doubled];
  const notes = [
    ...(note === "" ? [] : [note]),
    ...(dead > 0 ? [`${dead} dead letters, as meant`] : []),
    ...(refused > 0 && mayRefuse !== undefined ? [`503: ${mayRefuse}`] : []),
  ];
  const lengths = (...lists: readonly (readonly string[])[]) => lists.map(({ length }) => length);
  return [
    acknowledged,
    reads,
    ...lengths(wrong, absent),
    refused,
    ...lengths(lost, doubled, stale),
    notes.join("; "),
  ];
}

async function beRefused({ name, how, run }: Refusal): Promise<Row> {
  print(`${name} …`);
  const verdict = await attempt(run);
  if (verdict === undefined) return [name, how, FAILED, ""];
  const says = beginningOf(withoutChance(verdict.says));
  print(`  ${verdict.does}: ${says}`);
  return [name, how, verdict.does, says];
}

/** Directories, databases, ports and identities are other ones each time. */
function withoutChance(text: string): string {
  return text.replaceAll(
    /\/\S*\/dsproxy-refused-[^/\s]+|dsproxy_test_\w+|127\.0\.0\.1:\d+|[0-9a-f]{8}(-[0-9a-f]+){4}/g,
    "…",
  );
}

/** Statements to be executed may follow, which no table has room for. */
function beginningOf(text: string): string {
  return text.length <= SAYS_MAX ? text : `${text.slice(0, SAYS_MAX)} …`;
}

/** Undefined when it fails. */
async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    blame(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function blame(text: string): void {
  faults++;
  print(`  broken: ${text}`);
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

async function main(only: string, seed: number): Promise<number> {
  await using database = await startPostgres();
  await using redis = await startRedis();
  Deno.env.set("TEST_DATABASE_URL", database.url);
  Deno.env.set("TEST_REDIS_URL", redis.url);
  const [lived, refused]: [Row[], Row[]] = [[], []];
  for (const surrounding of SURROUNDINGS.filter(({ name }) => name.includes(only))) {
    lived.push(await liveIn(surrounding, seed));
  }
  for (const refusal of REFUSED.filter(({ name }) => name.includes(only))) {
    refused.push(await beRefused(refusal));
  }
  if (only === "") {
    const caption = `Written by \`deno task surroundings\` (seed ${seed}; ${await versions()}).`;
    const refusals =
      "Where the service cannot live, it says so; `--check-config` says the same and ends with 78:";
    await writeBetweenMarkers(
      PAGE,
      [caption, table(HEAD, lived), refusals, table(REFUSED_HEAD, refused)].join("\n\n"),
    );
    print("written: docs/operations.md");
  }
  print(`${lived.length + refused.length} surroundings, ${faults} faults`);
  return faults === 0 && lived.length + refused.length > 0 ? 0 : 1;
}

const { values: { only = "" } } = parseArgs({ options: { only: { type: "string" } } });
Deno.exit(await main(only, Number(Deno.env.get("FAULT_SEED") ?? 1)));
