/**
 * `deno task surroundings [--only TEXT]`: lives in every surrounding as long as the table says, and writes the table's part of
 * docs/operations.md, between its markers. Ends with 1 when something was that must not be. With `--only` nothing is written.
 */
import { parseArgs } from "node:util";
import { Random } from "../support/random.ts";
import { output } from "../support/services.ts";
import { installed, POSTGRES as POSTGRES_PROGRAM, REDIS as REDIS_PROGRAM } from "../support/installed.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { SURROUNDINGS } from "./all.ts";
import { brokenIn, type Counts, type Surrounding } from "./surrounding.ts";
import { writeBetweenMarkers } from "./table.ts";

const PAGE = new URL("../../docs/operations.md", import.meta.url);

interface Result {
  readonly surrounding: Surrounding;
  /** Undefined where it could not be lived in to the end. */
  readonly counts: Counts | undefined;
  readonly broken: readonly string[];
}

async function liveIn(surrounding: Surrounding, seed: number): Promise<Result> {
  print(`${surrounding.name}: ${surrounding.rounds.many} rounds …`);
  const startedMs = performance.now();
  try {
    const counts = await surrounding.run(surrounding.rounds.many, new Random(seed));
    return { surrounding, counts, broken: brokenIn(surrounding, counts) };
  } catch (error) {
    return { surrounding, counts: undefined, broken: [String(error)] };
  } finally {
    print(`  ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  }
}

function rowOf({ surrounding: { name, how, rounds, mayRefuse }, counts }: Result): readonly (string | number)[] {
  if (counts === undefined) return [name, how, rounds.many, "–", "–", "–", "–", "–", "–", "–", "–", "**failed**"];
  const { acknowledged, reads, wrong, absent, refused, lost, doubled, stale, dead, note } = counts;
  const notes = [
    ...(note === "" ? [] : [note]),
    ...(dead > 0 ? [`${dead} dead letters, as meant`] : []),
    ...(refused > 0 && mayRefuse !== undefined ? [`503: ${mayRefuse}`] : []),
  ];
  const faults = [wrong, absent].map(({ length }) => length);
  const [lostCount, doubledCount, staleCount] = [lost, doubled, stale].map(({ length }) => length);
  return [
    name,
    how,
    rounds.many,
    acknowledged,
    reads,
    ...faults,
    refused,
    lostCount!,
    doubledCount!,
    staleCount!,
    notes.join("; "),
  ];
}

const HEAD = [
  "surrounding",
  "how it is made",
  "rounds",
  "writes acknowledged",
  "reads",
  "wrong bodies",
  "false 404s",
  "503s",
  "lost",
  "doubled",
  "stale over 1 s",
  "note",
];

async function versions(): Promise<string> {
  const programs = [
    [await installed(POSTGRES_PROGRAM), "--version"],
    [await installed(REDIS_PROGRAM), "--version"],
  ] as const;
  const said = await Promise.all(programs.map(([program, flag]) => output(program, [flag])));
  return [`Deno ${Deno.version.deno}`, ...said.map((text) => text.trim().split(" sha=")[0]!)].join(", ");
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

const { values: { only = "" } } = parseArgs({ options: { only: { type: "string" } } });
const seed = Number(Deno.env.get("FAULT_SEED") ?? 1);
const [database, redis] = await Promise.all([startPostgres(), startRedis()]);
Deno.env.set("TEST_DATABASE_URL", database.url);
Deno.env.set("TEST_REDIS_URL", redis.url);
const results: Result[] = [];
for (const surrounding of SURROUNDINGS.filter(({ name }) => name.includes(only))) {
  const result = await liveIn(surrounding, seed);
  results.push(result);
  print(`  ${rowOf(result).slice(2).join(" | ")}`);
  for (const text of result.broken) print(`  broken: ${text}`);
}
if (only === "") {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  const table = [line(HEAD), line(HEAD.map(() => "---")), ...results.map((result) => line(rowOf(result)))].join("\n");
  const caption = `Written by \`deno task surroundings\` (seed ${seed}; ${await versions()}).`;
  await writeBetweenMarkers(PAGE, `${caption}\n\n${table}`);
  print("written: docs/operations.md");
}
await redis.dispose();
await database.dispose();
const broken = results.reduce((sum, result) => sum + result.broken.length, 0);
print(`${results.length} surroundings, ${broken} faults`);
Deno.exit(broken === 0 && results.length > 0 ? 0 : 1);
