/**
 * Replays and discards many dead letters in SQLite; it runs in the worker (worker.ts), and answers
 * nobody else meanwhile.
 */
import type { DatabaseSync } from "node:sqlite";
import { type ValuelessEntry, writeId } from "../../domain.ts";
import type { LetterPlace } from "../../ports/dead_letter_retries.ts";
import type { Swept } from "../../ports/dead_letter_sweeps.ts";
import type { LetterFilter } from "../../ports/dead_letters.ts";
import { conditionOf } from "./dead_letter_filter.ts";
import { countAttempt, discardDeadLetter, replayDeadLetter } from "./dead_letters.ts";
import { refusalOf } from "./refusals.ts";

/** A part looks at so many at most, few of which the filter may mean: it is always short. */
const LOOKED_AT_MAX = 10_000;
/** The values of one transaction are in memory until it ends. */
const VALUES_BYTES_MAX = 4 * 1024 * 1024;

/** It has to be called in a transaction. */
export function discardSome(
  db: DatabaseSync,
  filter: LetterFilter,
  limit: number,
  from?: LetterPlace,
): Swept {
  const { letters, next } = find(db, filter, limit, from);
  for (const letter of letters) discardDeadLetter(db, writeId(letter));
  return { done: letters, refused: 0, ...next };
}

/** It has to be called in a transaction, in which a refusal undoes its own letter alone. */
export function replaySome(
  db: DatabaseSync,
  filter: LetterFilter,
  limit: number,
  from?: LetterPlace,
): Swept {
  const { letters, next } = find(db, filter, limit, from);
  const done: ValuelessEntry[] = [];
  for (const letter of letters) {
    const id = writeId(letter);
    db.exec("savepoint letter");
    const refusal = refusalOf(() => void replayDeadLetter(db, id));
    if (refusal === undefined) done.push(letter);
    else {
      db.exec("rollback to letter");
      countAttempt(db, id, refusal, 0);
    }
    db.exec("release letter");
  }
  return { done, refused: letters.length - done.length, ...next };
}

interface Part {
  readonly letters: readonly ValuelessEntry[];
  readonly next: Pick<Swept, "next">;
}

function find(
  db: DatabaseSync,
  filter: LetterFilter,
  limit: number,
  { source, seq }: LetterPlace = { source: "", seq: 0 },
): Part {
  const end = db.prepare(
    `select source, seq from dsproxy_dead_letters where (source, seq) > (?, ?)
     order by source, seq limit 1 offset ${LOOKED_AT_MAX - 1}`,
  ).get(source, seq);
  const { text, parameters } = conditionOf(filter);
  const within = end === undefined ? [] : [end.source!, end.seq!];
  const found = db.prepare(
    `select source, seq, user_id, ts, accepted_ms, instance, length(value) as length
     from dsproxy_dead_letters
     where (source, seq) > (?, ?) ${end === undefined ? "" : "and (source, seq) <= (?, ?)"}
       and ${text} order by source, seq limit ?`,
  ).all(source, seq, ...within, ...parameters, limit);
  const rows = withinBytes(found);
  const last = rows.length < found.length || rows.length === limit ? rows.at(-1) : end;
  return {
    letters: rows.map(letterOf),
    next: last === undefined
      ? {}
      : { next: { source: String(last.source), seq: Number(last.seq) } },
  };
}

type Row = Record<string, unknown>;

function withinBytes(rows: readonly Row[]): readonly Row[] {
  let bytes = 0;
  const end = rows.findIndex(({ length }, i) =>
    (bytes += Number(length)) > VALUES_BYTES_MAX && i > 0
  );
  return end < 0 ? rows : rows.slice(0, end);
}

function letterOf(row: Row): ValuelessEntry {
  return {
    userId: String(row.user_id),
    ts: Number(row.ts),
    acceptedMs: Number(row.accepted_ms),
    run: String(row.instance),
    seq: Number(row.seq),
  };
}
