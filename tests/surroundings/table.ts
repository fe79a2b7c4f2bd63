/** The part of a page that a command writes; all around it is written by hand. */

const BEGIN = "<!-- written by deno task surroundings: do not edit -->";
const END = "<!-- end of what is written by deno task surroundings -->";
const NEW_PAGE = `# Operations\n\n## What it was run in\n\n${BEGIN}\n${END}\n`;

/**
 * Puts `text` between the markers of the page, which is made if there is none. @throws Error when a
 * marker is missing
 */
export async function writeBetweenMarkers(page: URL, text: string): Promise<void> {
  const old = await Deno.readTextFile(page).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return NEW_PAGE;
    throw error;
  });
  const [from, to] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (from < 0 || to < from) {
    throw new Error(`${page.pathname} has no lines "${BEGIN}" and, after it, "${END}"`);
  }
  await Deno.writeTextFile(page, `${old.slice(0, from + BEGIN.length)}\n${text}\n${old.slice(to)}`);
}

export type Row = readonly (string | number)[];

/** In Markdown. */
export function table(head: Row, rows: readonly Row[]): string {
  // Within code, too, a bar would end the cell.
  const line = (cells: Row) =>
    `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
