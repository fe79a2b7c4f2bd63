/** Finds and fills elements. Text is only ever set as text, as users wrote much of it. */

/** @throws when the page has no such element: the page and its parts do not fit each other */
export function byId<E extends Element>(id: string, kind: abstract new () => E): E {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`The page has no ${kind.name} ${id}`);
}

/** Leaves what is there alone when it says the same, so that nobody loses a selection. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export interface Cell {
  readonly text: string;
  readonly className?: string;
}

/** Fills the body of a table, in rows that stay the same elements. The first cell is a heading. */
export function fillTable(id: string, rows: readonly (readonly Cell[])[], whenEmpty: string): void {
  const table = byId(id, HTMLTableElement);
  const body = table.tBodies[0]!;
  const columns = table.tHead!.rows[0]!.cells.length;
  const shown = rows.length > 0 ? rows : [[{ text: whenEmpty }]];
  while (body.rows.length > shown.length) body.deleteRow(-1);
  shown.forEach((cells, at) => fillRow(body.rows[at] ?? body.insertRow(), cells, columns));
}

function fillRow(row: HTMLTableRowElement, cells: readonly Cell[], columns: number): void {
  const isNote = cells.length < columns;
  while (row.cells.length > cells.length) row.deleteCell(-1);
  cells.forEach(({ text, className = "" }, at) => {
    const wanted = at === 0 && !isNote ? "TH" : "TD";
    let cell = row.cells[at];
    if (cell?.tagName !== wanted) {
      const made = document.createElement(wanted) as HTMLTableCellElement;
      if (wanted === "TH") made.scope = "row";
      if (cell === undefined) row.append(made);
      else cell.replaceWith(made);
      cell = made;
    }
    cell.colSpan = isNote ? columns : 1;
    if (cell.className !== className) cell.className = className;
    setText(cell, text);
  });
}

/** Fills a list, an item a line. */
export function fillList(list: Element, lines: readonly string[]): void {
  while (list.children.length > lines.length) list.lastElementChild!.remove();
  lines.forEach((line, at) => {
    const item = list.children[at] ?? list.appendChild(document.createElement("li"));
    setText(item, line);
  });
}
