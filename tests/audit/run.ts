/**
 * `deno task audit:planted`: loses and doubles numbers behind the service's back, has it look for
 * them, and writes what it said into docs/audit_results.md. Takes about a minute.
 */
import { installMissing, POSTGRES } from "../support/installed.ts";
import { startPostgres } from "../support/postgres.ts";
import { table } from "../surroundings/table.ts";
import { type Outcome, plantAll } from "./planted.ts";
import { NUMBERS } from "./plants.ts";

const PAGE = new URL("../../docs/audit_results.md", import.meta.url);
const TITLE = "## Planted losses";

function sectionOf(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ what, verdict, named, closed }) =>
    [what, verdict, named.map((line) => `\`${line}\``).join(", "), closed] as const
  );
  return `${TITLE}

Written by \`deno task audit:planted\`; nothing here is typed by hand. Three runs of the program
(A, B and C) stored ${NUMBERS} numbers each, the last one of A as a dead letter. Each line was done to
the database behind its back, found by \`dsproxy audit\`, which ended with 2, and then closed, after
which it ended with 0.

${table(["what was done", "the verdict", "what was named", "closed by"], rows)}
`;
}

/** Others write the other sections. */
function withSection(page: string, section: string): string {
  const from = page.indexOf(TITLE);
  if (from < 0) return `${page.trimEnd()}\n\n${section}`;
  const next = page.indexOf("\n## ", from);
  return page.slice(0, from) + section + (next < 0 ? "" : page.slice(next));
}

await installMissing([POSTGRES]);
await using database = await startPostgres();
Deno.env.set("TEST_DATABASE_URL", database.url);
const outcomes = await plantAll();
const page = await Deno.readTextFile(PAGE).catch((error) => {
  if (error instanceof Deno.errors.NotFound) return "# The audit, tried\n";
  throw error;
});
await Deno.writeTextFile(PAGE, withSection(page, sectionOf(outcomes)));
Deno.stdout.writeSync(
  new TextEncoder().encode(`${outcomes.length} losses planted and found, docs/audit_results.md\n`),
);
