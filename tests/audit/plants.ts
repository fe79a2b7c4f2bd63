/** What is done to the database behind the service's back, and what the audit has to say of it. */

/** Sources of which nobody has a journal any more: each has {@link NUMBERS} numbers. */
export interface Sources {
  /** Its last number is a dead letter. */
  readonly withDeadLetter: string;
  readonly another: string;
  readonly third: string;
}

export const NUMBERS = 20;

export interface Plant {
  readonly what: string;
  /** Statements that do it … */
  readonly sql: (sources: Sources) => readonly string[];
  /** … and what undoes it; without it `audit accept` has to close what is missing. */
  readonly undo?: (sources: Sources) => readonly string[];
  /** Each is a line, by its first two words. */
  readonly named: (sources: Sources) => readonly string[];
}

export const PLANTS: readonly Plant[] = [
  {
    what: "three rows deleted, two of them side by side",
    sql: ({ another }) => [`delete from user_data where ${of(another, 4, 5, 11)}`],
    named: ({ another: id }) => [`missing ${id}-4..5`, `missing ${id}-11`],
  },
  {
    what: "two rows doubled, one of them twice",
    sql: ({ another }) => [copy(another, 7, 7), copy(another, 9, 9), copy(another, 9, 9)],
    undo: ({ another }) => [
      `delete from user_data u where ${of(another, 7, 9)} and exists (select from user_data v
         where v.dsproxy_instance = u.dsproxy_instance and v.dsproxy_seq = u.dsproxy_seq
         and v.ctid < u.ctid)`,
    ],
    named: ({ another: id }) => [`doubled ${id}-7`, `doubled ${id}-9`],
  },
  {
    what: "a row deleted and its neighbour doubled, which leaves their count as it was",
    sql: ({ third }) => [`delete from user_data where ${of(third, 5)}`, copy(third, 6, 6)],
    undo: ({ third }) => [
      `update user_data set dsproxy_seq = 5 where ctid =
         (select max(ctid) from user_data where ${of(third, 6)})`,
    ],
    named: ({ third: id }) => [`missing ${id}-5`, `doubled ${id}-6`],
  },
  {
    what: "a dead letter put in as a row as well",
    sql: ({ withDeadLetter }) => [copy(withDeadLetter, 3, NUMBERS)],
    undo: ({ withDeadLetter }) => [`delete from user_data where ${of(withDeadLetter, NUMBERS)}`],
    named: ({ withDeadLetter: id }) => [`doubled ${id}-${NUMBERS}`],
  },
  {
    what: "a dead letter deleted",
    sql: ({ withDeadLetter }) => [
      `delete from dsproxy_dead_letters where source = '${withDeadLetter}' and seq = ${NUMBERS}`,
    ],
    named: ({ withDeadLetter: id }) => [`missing ${id}-${NUMBERS}`],
  },
  {
    what: "a mark moved forward by five",
    sql: ({ third }) => [setMark(third, NUMBERS + 5)],
    named: ({ third: id }) => [`missing ${id}-${NUMBERS + 1}..${NUMBERS + 5}`],
  },
  {
    what: "a mark moved back by two",
    sql: ({ another }) => [setMark(another, NUMBERS - 2)],
    undo: ({ another }) => [setMark(another, NUMBERS)],
    named: ({ another: id }) => [`stray ${id}-${NUMBERS - 1}`, `stray ${id}-${NUMBERS}`],
  },
  {
    what: "a row inserted whose number was never given out",
    sql: ({ another }) => [copy(another, 1, 1_000)],
    undo: ({ another }) => [`delete from user_data where ${of(another, 1_000)}`],
    named: ({ another: id }) => [`stray ${id}-1000`],
  },
  {
    what: "a row inserted whose source was never there",
    sql: ({ another }) => [
      `insert into user_data (user_id, value, ts, dsproxy_instance, dsproxy_seq)
         values ('stranger', 'v', 1, '${strangerBeside(another)}', 1)`,
    ],
    undo: () => ["delete from user_data where user_id = 'stranger'"],
    named: ({ another }) => [`stray ${strangerBeside(another)}-1`],
  },
  {
    what: "a mark deleted",
    sql: ({ another }) => [`delete from dsproxy_marks where source = '${another}'`],
    undo: ({ another }) => [
      `insert into dsproxy_marks (source, seq) values ('${another}', ${NUMBERS})`,
    ],
    // The rows that were deleted and accepted above are not there.
    named: ({ another: id }) =>
      Array.from({ length: NUMBERS }, (_, i) => i + 1).filter((seq) => ![4, 5, 11].includes(seq))
        .map((seq) => `stray ${id}-${seq}`),
  },
];

function of(source: string, ...numbers: number[]): string {
  return `dsproxy_instance = '${source}' and dsproxy_seq in (${numbers.join(", ")})`;
}

/** Inserts a row as another one is, with this number. */
function copy(source: string, seq: number, as: number): string {
  return `insert into user_data (user_id, value, ts, dsproxy_instance, dsproxy_seq)
    select user_id, value, ts, dsproxy_instance, ${as} from user_data
    where ${of(source, seq)} limit 1`;
}

function setMark(source: string, seq: number): string {
  return `update dsproxy_marks set seq = ${seq} where source = '${source}'`;
}

function strangerBeside(source: string): string {
  return source.split("").reverse().join("");
}
