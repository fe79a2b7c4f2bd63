/** Writes docs/audit_results.md, section by section: what another command wrote there stays. */
const RESULTS = new URL("../docs/audit_results.md", import.meta.url);
const HEAD = "# The audit, tried\n";

export interface Section {
  readonly text: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export async function writeSections(sections: Readonly<Record<string, Section>>): Promise<void> {
  const now = new Map(
    Object.entries(sections).map(([title, { text, head, rows }]) => {
      const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
      const table = [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
      const how = "Written by `deno task bench:audit`; nothing here is typed by hand.";
      return [`## ${title}`, `## ${title}\n\n${how} ${text}\n\n${table}\n`];
    }),
  );
  const all = new Map([...await written(), ...now]);
  await Deno.writeTextFile(RESULTS, [HEAD, ...all.values()].join("\n"));
}

async function written(): Promise<Map<string, string>> {
  let text = "";
  try {
    text = await Deno.readTextFile(RESULTS);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const parts = text.split(/^(?=## )/m).filter((part) => part.startsWith("## "));
  return new Map(parts.map((part) => [part.slice(0, part.indexOf("\n")), `${part.trimEnd()}\n`]));
}
