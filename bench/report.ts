/**
 * `deno task bench:report`: draws the kept results and writes the tables of docs/benchmarks.md, so
 * that a figure of a document comes from a command. The benchmarks do so too when they are done.
 */
import { fileURLToPath } from "node:url";
import { output } from "../tests/support/services.ts";
import type { Result } from "./figures.ts";
import { GROUP_NAMES } from "./groups/names.ts";
import { readResults, RESULTS } from "./result.ts";
import { between, sectionOf } from "./tables.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url));
const CHARTS = fileURLToPath(new URL("charts", import.meta.url));

/** Draws what is in a folder, and shows it in the document where that is the project's own. */
export async function report(folder: string): Promise<void> {
  const results = await readResults(folder, GROUP_NAMES);
  const charts = await draw(folder, results);
  if (folder !== RESULTS) return;
  const sections = results.map((result, i) => sectionOf(result, charts[i]!, "../bench/results"));
  const document = await Deno.readTextFile(DOCUMENT);
  await Deno.writeTextFile(DOCUMENT, between(document, sections.join("\n")));
}

/** Returns the names of each result's charts, which are drawn beside it. */
export async function draw(
  folder: string,
  results: readonly Pick<Result, "group">[],
): Promise<string[][]> {
  const files = results.map(({ group }) => `${folder}/${group}.json`);
  const names = await output(Deno.execPath(), [
    "run",
    `--config=${CHARTS}/deno.json`,
    "--no-prompt",
    "--quiet",
    "--allow-env=NODE_ENV",
    `--allow-read=${folder}`,
    `--allow-write=${folder}`,
    `${CHARTS}/draw.ts`,
    ...files,
  ]);
  return JSON.parse(names) as string[][];
}

if (import.meta.main) await report(RESULTS);
