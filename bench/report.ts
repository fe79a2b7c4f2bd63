/**
 * `deno task bench:report`: draws the kept results and writes the tables of docs/benchmarks.md, so
 * that a figure of a document comes from a command. The benchmarks do so too when they are done.
 */
import { fileURLToPath } from "node:url";
import { chartsOf } from "./charts.ts";
import { GROUP_NAMES } from "./groups/names.ts";
import { readResults, RESULTS } from "./result.ts";
import { between, sectionOf } from "./tables.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url));

/** Draws what is in a folder, and shows it in the document where that is the project's own. */
export async function report(folder: string): Promise<void> {
  const sections: string[] = [];
  for (const result of await readResults(folder, GROUP_NAMES)) {
    const charts = chartsOf(result);
    for (const { name, svg } of charts) await Deno.writeTextFile(`${folder}/${name}.svg`, svg);
    sections.push(sectionOf(result, charts, "../bench/results"));
  }
  if (folder !== RESULTS) return;
  const document = await Deno.readTextFile(DOCUMENT);
  await Deno.writeTextFile(DOCUMENT, between(document, sections.join("\n")));
}

if (import.meta.main) await report(RESULTS);
