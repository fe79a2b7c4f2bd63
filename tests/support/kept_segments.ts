/** Journals that keep settled segments, each of one record, so that tests can name them. */
import type { Journal } from "../../src/journal/journal.ts";
import { FakeFileSystem } from "./fake_file_system.ts";
import { open, pushAll, settleAll, valuesOf } from "./journals.ts";

export const HOUR_MS = 3_600_000;

/** A segment takes one record of {@link push}. */
export const ONE_RECORD = { segmentBytes: 5_000 };

export const KEEPING = { ...ONE_RECORD, retainMs: HOUR_MS };

/** Pushes one after the other, padded so that two of them are more than a segment takes. */
export async function push(journal: Journal, ...values: readonly string[]): Promise<void> {
  for (const value of values) await pushAll(journal, [value.padEnd(700)]);
}

/** Returns the values without what {@link push} padded them with. */
export function shortOf(entries: Parameters<typeof valuesOf>[0]): string[] {
  return valuesOf(entries).map((value) => value.trimEnd());
}

/** Returns a disk on which a run has settled all of these, a record a segment, and ended in order. */
export async function settledDisk(...values: readonly string[]) {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs, KEEPING);
  await push(journal, ...values);
  await settleAll(journal);
  await journal.close();
  return { fs, run: journal.run };
}
