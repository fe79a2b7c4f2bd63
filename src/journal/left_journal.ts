/**
 * Reads a journal that its owner has left, and changes nothing in it: not a byte is cut, moved or
 * removed, so that the owner finds it as it was. What is given is what the owner would send after
 * its return, in the same groups, up to the first thing that it may judge otherwise: what is
 * damaged, a group at the end whose last record is missing.
 */
import { join } from "node:path";
import type { Entry } from "../domain.ts";
import type { GroupSource } from "../ports/group_source.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import { readOnly } from "../disk/neighbours.ts";
import { readSmallFile } from "../disk/small_file.ts";
import { CHECKPOINT_FILE, readInstance } from "./checkpoint.ts";
import { GroupReader } from "./group_reader.ts";
import { ordinalOf, syncFile } from "./segment_file.ts";
import { Segments } from "./segments.ts";
import { type DamageReport, type Survey, survey } from "./survey.ts";

/** A start syncs the last segment that has records; after it there may be one without a header. */
const SYNCED = 2;

/**
 * Returns the name of the instance that a journal in `dir` belongs to; undefined where there is no
 * journal. @throws as {@link readInstance}
 */
export function ownerOf(fs: JournalFileSystem, dir: string): Promise<string | undefined> {
  return readInstance(fs, dir);
}

/**
 * Returns what is another text once somebody has lived in `dir` in between: each start names itself
 * in the checkpoint.
 */
export async function traceOf(fs: JournalFileSystem, dir: string): Promise<string> {
  const names = (await fs.list(dir)).sort();
  return `${names.join(" ")}\n${await readSmallFile(fs, dir, CHECKPOINT_FILE) ?? ""}`;
}

/**
 * Surveys the journal in `dir`, whose owner must not be at work meanwhile.
 * @throws AppError `journal-failed` for what only a person can decide; whatever the disk says
 */
export async function readLeftJournal(fs: JournalFileSystem, dir: string): Promise<LeftJournal> {
  const reading = readOnly(fs);
  await syncEnd(reading, dir);
  return new LeftJournal(reading, dir, await survey(reading, dir));
}

/**
 * Makes durable what a dead process may have left in the page cache only: what is brought to the
 * store in groups must be there in the same groups when the owner comes back, also after a power
 * loss. A file that may only be read can be synced all the same.
 */
async function syncEnd(fs: JournalFileSystem, dir: string): Promise<void> {
  const names = (await fs.list(dir)).filter((name) => ordinalOf(name) !== undefined).sort();
  for (const name of names.slice(-SYNCED)) {
    const file = await fs.open(join(dir, name), "read");
    try {
      await syncFile(file, name);
    } finally {
      file.close();
    }
  }
}

export class LeftJournal {
  readonly #segments: Segments;
  #reader: GroupReader | undefined;

  constructor(fs: JournalFileSystem, dir: string, private readonly found: Survey) {
    this.#segments = new Segments(fs, dir, found.segments, found.progress, () => 0);
  }

  /** So many entries the store may not have yet, those at the end that are not given among them. */
  get unsettled(): number {
    return this.found.unsettled;
  }

  /** They are the sources of which something is here, the oldest first. */
  get sources(): readonly string[] {
    return this.#segments.sources(false);
  }

  /**
   * It says why nothing of it may be given: what is missing could be put back, and would be passed
   * over for ever then. It is undefined where something may.
   */
  get refusal(): string | undefined {
    const segments = new Set(this.found.segments.map(({ name }) => name));
    const report = this.#damage.find(({ segment }) => !segments.has(segment));
    return report && `${report.segment} is damaged, or not there`;
  }

  /** It says behind what nothing is given; undefined where all is. */
  get end(): string | undefined {
    const [first] = this.#damage;
    if (first !== undefined) return `${first.segment} is damaged at byte ${first.offset}`;
    return this.#reader?.hasEnded ? "what the store has of it is damaged" : undefined;
  }

  /** The owner knew that the store has this source through there. */
  settledSeq(source: string): number {
    return this.found.progress.of(source).settledSeq;
  }

  /** The owner sends nothing of this source through there. */
  doneSeq(source: string): number {
    return this.found.progress.doneSeq(source);
  }

  /** Begins to read, with what the store may not have. It has a place of its own. */
  groups(): GroupSource {
    const { progress } = this.found;
    // Of the last run a group may be without its end, and is left to the owner, who may find less
    // of it. Those of the runs before it the owner has seen, and judged, at its last start.
    const run = this.found.segments.at(-1)?.run ?? "";
    return this.#reader = new GroupReader({
      segments: this.#segments,
      progress,
      run,
      isWanted: () => true,
      endsAtDamage: true,
    });
  }

  /** Returns those of a group that the owner would send, too. */
  waiting(source: string, entries: readonly Entry[]): readonly Entry[] {
    const doneSeq = this.doneSeq(source);
    return entries.filter(({ seq }) => seq > doneSeq);
  }

  close(): Promise<void> {
    return this.#segments.close();
  }

  get #damage(): readonly DamageReport[] {
    return this.found.damage.filter(({ kind }) => kind === "damaged");
  }
}
