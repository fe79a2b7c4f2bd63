/**
 * Tells of rows that the store refuses, by the code of the refusal: one line now and then with how
 * many there were, whatever a client sends. What the database said of each is in its dead letter.
 */
import { withoutValues } from "../database_words.ts";
import type { Clock } from "../ports/clock.ts";
import type { RefusedEntry } from "../ports/dead_letters.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log, type LogFields } from "./log.ts";

/** Triggers can invent codes: beyond so many they share one line. */
const CODES_MAX = 20;

interface Refused extends RefusedEntry {
  /** It names the row, but neither its user nor its value. */
  readonly where: LogFields;
}

export class RefusedRowsLog {
  readonly #lines = new Map<string, { rows: number; tell: (first: unknown) => void }>();

  constructor(
    private readonly log: Pick<Log, "error">,
    private readonly clock: Pick<Clock, "monotonicMs">,
  ) {}

  /** @param whereOf names a row, but neither its user nor its value */
  note(refused: readonly RefusedEntry[], whereOf: (seq: number) => LogFields): void {
    const counts = new Map<string, { first: RefusedEntry; rows: number }>();
    for (const one of refused) {
      const count = counts.get(one.code);
      if (count === undefined) counts.set(one.code, { first: one, rows: 1 });
      else count.rows++;
    }
    for (const [code, { first, rows }] of counts) {
      const line = this.#lineOf(code);
      line.rows += rows;
      line.tell({ ...first, where: whereOf(first.seq) });
    }
  }

  #lineOf(code: string) {
    const key = this.#lines.has(code) || this.#lines.size < CODES_MAX ? code : "";
    const known = this.#lines.get(key);
    if (known !== undefined) return known;
    const line = { rows: 0, tell: this.#limited((first) => this.#write(line, first)) };
    this.#lines.set(key, line);
    return line;
  }

  #limited(write: (first: Refused) => void): (first: unknown) => void {
    return limitRate(this.clock, FAULT_LOG_INTERVAL_MS, (_, first) => write(first as Refused));
  }

  #write(line: { rows: number }, { code, message, where }: Refused): void {
    this.log.error("The store refuses rows: they are among the dead letters", {
      event: "rows-refused",
      rows: line.rows,
      ...where,
      code,
      reason: withoutValues(code, message),
    });
    line.rows = 0;
  }
}
