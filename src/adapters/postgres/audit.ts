/**
 * Holds the numbers of each source against `user_data`, the dead letters, and what was noted as
 * gone. Each look is one statement, and so of one moment: a flush, whose rows and mark are committed
 * together, is seen whole or not at all.
 */
import { countNumbers } from "../../domain.ts";
import type {
  Audit,
  AuditedSource,
  Checked,
  GoneReason,
  SurveyedSource,
} from "../../ports/audit.ts";
import type { Interval } from "../../ports/group_store.ts";
import { APPLIED_RANGES, AUDITED, CHECK, NO_RANGES, strays, SURVEY } from "./audit_statements.ts";
import type { Database } from "./database.ts";
import { ensureNumbersIndex } from "./numbers_index.ts";
import type { Session } from "./session.ts";

/** A table of a hundred million rows is read once. */
const SURVEY_LIMIT_MS = 10 * 60_000;
const CHECK_LIMIT_MS = 60_000;
/** Of what a call finds so much is named. */
const NAMED_MAX = 1_000;

interface AuditedRow {
  readonly source: string;
  readonly unknown_through: string;
  readonly mark: string;
}

interface SurveyedRow extends AuditedRow, Record<GoneReason, string> {
  readonly rows: string;
  readonly strays: string;
  readonly dead: string;
  readonly agrees: boolean;
}

interface CheckedRow {
  readonly numbers: string;
  readonly missing: string;
  readonly doubled: string;
  readonly gaps: readonly { readonly first: number; readonly last: number }[] | null;
  readonly doubles: readonly { readonly seq: number; readonly times: number }[] | null;
}

export class PostgresAudit implements Audit {
  constructor(private readonly database: Pick<Database, "read" | "run" | "longRead" | "longRun">) {}

  survey(): Promise<readonly SurveyedSource[]> {
    return this.database.longRead(SURVEY_LIMIT_MS, async (session) => {
      const { rows } = await withRanges(
        session,
        (ranges) => session.query<SurveyedRow>(SURVEY(ranges), [anySeed()]),
      );
      return rows.map(surveyedOf);
    });
  }

  check(source: string, first: number, last: number): Promise<Checked> {
    return this.database.longRead(CHECK_LIMIT_MS, async (session) => {
      const { rows: [row] } = await session.query<CheckedRow>(CHECK, [
        ...[source, first, last, NAMED_MAX],
      ]);
      const { numbers, missing, doubled, gaps, doubles } = row!;
      return {
        numbers: Number(numbers),
        missing: { first: gaps ?? [], numbers: Number(missing) },
        doubled: { first: doubles ?? [], numbers: Number(doubled) },
      };
    });
  }

  strays(source: string, limit: number): Promise<readonly number[]> {
    return this.database.longRead(SURVEY_LIMIT_MS, async (session) => {
      const { rows } = await withRanges(
        session,
        (ranges) => session.query<{ seq: string }>(strays(ranges), [source, limit]),
      );
      return rows.map(({ seq }) => Number(seq));
    });
  }

  async accept(source: string, gap: Interval, reason: string): Promise<number> {
    const { missing } = await this.check(source, gap.first, gap.last);
    if (missing.numbers === 0) return 0;
    await this.database.run((session) => noteAccepted(session, source, missing.first, reason));
    const accepted = countNumbers(missing.first);
    // A call names so many gaps at a time.
    const next = missing.first.at(-1)!.last + 1;
    if (accepted === missing.numbers) return accepted;
    return accepted + await this.accept(source, { first: next, last: gap.last }, reason);
  }

  async samples(): Promise<readonly AuditedSource[]> {
    if (!await ensureNumbersIndex(this.database)) return [];
    return await this.database.read(async (session) => {
      const { rows } = await session.query<AuditedRow>(AUDITED);
      return rows.map(auditedOf);
    });
  }
}

async function noteAccepted(
  session: Session,
  source: string,
  gaps: readonly Interval[],
  reason: string,
): Promise<void> {
  await session.query(
    `insert into dsproxy_audit_notes (source, kind, first, last, reason)
     select $1, 'accepted', first, last, $4 from unnest($2::bigint[], $3::bigint[]) g (first, last)
     on conflict (source, kind, first) do update set
       last = greatest(dsproxy_audit_notes.last, excluded.last), reason = excluded.reason,
       noted_at = now()`,
    [source, gaps.map(({ first }) => first), gaps.map(({ last }) => last), reason],
  );
}

/** Who does not know it cannot leave out and add rows so that the sums stay what they were. */
function anySeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

/** The first worker of a database may make the table, and fill it, between two statements. */
async function withRanges<T>(
  session: Session,
  look: (ranges: string) => Promise<T>,
): Promise<T> {
  const ranges = await rangesIn(session);
  const found = await look(ranges);
  return await rangesIn(session) === ranges ? found : await look(APPLIED_RANGES);
}

/** A service without a broker has no table of intervals above a mark. */
async function rangesIn(session: Session): Promise<string> {
  const { rows: [row] } = await session.query<{ is_there: boolean }>(
    // A name that was not there once is not looked up anew within a transaction by to_regclass: what
    // was made between two statements would not be seen, and its rows be taken for strays.
    `select exists (select from pg_class
       where relname = 'dsproxy_applied' and pg_table_is_visible(oid)) as is_there`,
  );
  return row!.is_there ? APPLIED_RANGES : NO_RANGES;
}

function auditedOf({ source, unknown_through, mark }: AuditedRow): AuditedSource {
  return { source, unknownThrough: Number(unknown_through), mark: Number(mark) };
}

function surveyedOf(row: SurveyedRow): SurveyedSource {
  const { rows, strays, dead, agrees, retired, discarded, withdrawn, accepted } = row;
  return {
    ...auditedOf(row),
    rows: Number(rows),
    strays: Number(strays),
    dead: Number(dead),
    gone: {
      retired: Number(retired),
      discarded: Number(discarded),
      withdrawn: Number(withdrawn),
      accepted: Number(accepted),
    },
    agrees,
  };
}
