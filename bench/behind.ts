/**
 * `deno task bench:behind [--rounds N] [--seconds N]`: how far behind another instance's
 * acknowledgement an answer can be; writes docs/behind_results.md.
 */
import { parseArgs } from "node:util";
import type { EngineName } from "../tests/scaled/engines.ts";
import {
  cutAll,
  emptied,
  FULL,
  measureBehind,
  type Trouble,
  type Writers,
} from "../tests/scaled/behind.ts";
import { startPostgres } from "../tests/support/postgres.ts";
import { print } from "./print.ts";
import { spread } from "./statistics.ts";

const RESULTS = new URL("../docs/behind_results.md", import.meta.url);

interface Case {
  readonly name: string;
  readonly trouble: Trouble | undefined;
  readonly engine?: EngineName;
}

const CASES: readonly Case[] = [
  { name: "nothing happens", trouble: undefined },
  { name: "nothing happens, RabbitMQ between", trouble: undefined, engine: "rabbitmq" },
  { name: "all connections cut, each 3 s", trouble: cutAll(3_000) },
  { name: "the same, each second", trouble: cutAll(1_000) },
  { name: "the same, ten times a second", trouble: cutAll(100) },
  { name: "Redis emptied, ten times a second", trouble: emptied(100) },
  { name: "Redis full, and evicting", trouble: FULL },
];
const WRITERS: readonly Writers[] = ["many", "few"];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "10" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);

async function measure({ trouble, engine }: Case, writers: Writers): Promise<string> {
  const worst: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { worstMs } = await measureBehind({ trouble, engine, writers, lastsMs: seconds * 1_000 });
    worst.push(worstMs / 1_000);
  }
  return spread(worst);
}

const server = await startPostgres();
Deno.env.set("TEST_DATABASE_URL", server.url);
const rows: string[] = [];
for (const each of CASES) {
  const cells = [each.name];
  for (const writers of WRITERS) cells.push(await measure(each, writers));
  rows.push(`| ${cells.join(" | ")} |`);
  print(rows.at(-1)!);
}
await server.dispose();
await Deno.writeTextFile(
  RESULTS,
  `# How far behind another instance's acknowledgement an answer is

Written by \`deno task bench:behind\`; nothing here is typed by hand. Three instances with one PostgreSQL and one Redis, all settings as they are by default, written to and read from for ${seconds} s. Each cell has the oldest answer of a run in seconds: median (least..most) of ${rounds} runs.

| meanwhile | 30 users, written as fast as it goes | 3 users, some six writes a second each, so that a flush comes each 2 s |
| --- | --- | --- |
${rows.join("\n")}
`,
);
