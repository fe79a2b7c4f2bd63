/** Journals on a fake disk, and the few moves that their tests share. */
import type { Entry } from "../../src/domain.ts";
import { HEADER_BYTES, type SegmentHeader } from "../../src/journal/codec.ts";
import { type Journal, type JournalOptions, openJournal } from "../../src/journal/journal.ts";
import type { IntakeListener } from "../../src/ports/intake.ts";
import type { DamageReport } from "../../src/journal/survey.ts";
import { FakeFileSystem } from "./fake_file_system.ts";

export const DIR = "/data/journal";

/** The header of a segment that tests encode records for. */
export const header: SegmentHeader = {
  format: 2,
  instance: "abcdefghij01",
  run: "runrunrunrun",
  salt: 0xdeadbeef,
  firstSeq: 1,
  previousRun: "",
  previousSeq: 0,
  lastAcceptedMs: 0,
};

export interface Opened {
  readonly journal: Journal;
  /** What the listener was told, in order. */
  readonly recovered: Entry[];
  readonly durable: Entry[];
  readonly withdrawn: Entry[];
  readonly damage: DamageReport[];
}

export async function open(
  fs: FakeFileSystem,
  options: Partial<JournalOptions> = {},
): Promise<Opened> {
  const recovered: Entry[] = [];
  const durable: Entry[] = [];
  const withdrawn: Entry[] = [];
  const damage: DamageReport[] = [];
  const journal = await openJournal({
    dir: DIR,
    maxBytes: 64 * 1024 * 1024,
    retainMs: 0,
    fs,
    listener: {
      durable: (entries) => durable.push(...entries),
      withdrawn: (entries) => withdrawn.push(...entries),
      unsettled: (entry) => recovered.push(entry),
    },
    observer: { onDamage: (report) => damage.push(report) },
    ...options,
  });
  return { journal, recovered, durable, withdrawn, damage };
}

/** For those who do not listen. */
export const NOBODY: IntakeListener = { durable() {}, withdrawn() {}, unsettled() {} };

export function pushAll(journal: Journal, values: readonly string[]): Promise<void[]> {
  return Promise.all(
    values.map((value, i) =>
      journal.push({ userId: `user${i}`, value, ts: 1_700_000_000 }).durable
    ),
  );
}

export async function takeAll(journal: Journal): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let batch = await journal.take(1000); batch; batch = await journal.take(1000)) {
    entries.push(...batch.entries);
  }
  return entries;
}

export async function settleAll(journal: Journal): Promise<void> {
  for (let batch = await journal.take(1000); batch; batch = await journal.take(1000)) {
    await journal.settle(batch);
  }
}

export function valuesOf(entries: readonly Entry[]): string[] {
  return entries.map((entry) => entry.value);
}

export function segmentPaths(fs: FakeFileSystem): string[] {
  return fs.paths().filter((path) => path.endsWith(".seg") && !path.includes("quarantine"));
}

export function quarantined(fs: FakeFileSystem): string[] {
  return fs.paths().filter((path) => path.startsWith(`${DIR}/quarantine/`));
}

/** Where each record of a segment of format 2 begins, and where the last one ends. */
export function recordOffsets(segment: Uint8Array): number[] {
  const view = new DataView(segment.buffer, segment.byteOffset);
  const offsets = [HEADER_BYTES];
  while (offsets.at(-1)! < segment.length) {
    offsets.push(offsets.at(-1)! + 8 + view.getUint32(offsets.at(-1)! + 4));
  }
  return offsets;
}
