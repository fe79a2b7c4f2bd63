/** Finds out what `--check-config` says about a journal. It changes nothing, and takes no lock. */
import type { JournalFileSystem } from "../disk/file_system.ts";
import { type DamageReport, survey } from "./survey.ts";

export interface JournalCondition {
  /** It is undefined before the first start. */
  readonly instance: string | undefined;
  readonly segments: number;
  readonly bytes: number;
  readonly records: number;
  /** So many of the records the store may not have yet. */
  readonly unsettled: number;
  readonly damage: readonly DamageReport[];
}

/**
 * Reads and checks every record. It works without the directory, and beside a running instance:
 * then a write under way may show as a torn tail.
 * @throws AppError `journal-failed` when the journal could not be opened either: files of another
 *   instance, unknown format
 */
export async function verifyJournal(fs: JournalFileSystem, dir: string): Promise<JournalCondition> {
  const found = await survey(fs, dir, { readsSettled: true });
  const { instance, segments, records, unsettled, damage } = found;
  const bytes = segments.reduce((sum, segment) => sum + segment.end, 0);
  return { instance, segments: segments.length, bytes, records, unsettled, damage };
}
