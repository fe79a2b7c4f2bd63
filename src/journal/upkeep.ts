/**
 * Keeps the journal's directory in order while it is open: it writes checkpoints, removes what need
 * not be kept, and looks whether the files are where they were.
 */
import { reasonOf } from "../errors.ts";
import { type Checkpoint, writeCheckpoint } from "./checkpoint.ts";
import { HEADER_BYTES } from "./codec.ts";
import type { JournalFile, JournalFileSystem } from "../disk/file_system.ts";
import type { GroupCommit } from "./group_commit.ts";
import { displacedError } from "./place.ts";
import type { Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

/** After a crash at most the settlements of so long are sent again, which the mark leaves out. */
const CHECKPOINT_INTERVAL_MS = 1_000;

interface UpkeepOptions {
  readonly fs: JournalFileSystem;
  readonly dir: string;
  readonly maxBytes: number;
  readonly retainMs: number;
  readonly monotonicMs: () => number;
  readonly segments: Segments;
  readonly commit: GroupCommit;
  readonly lock: JournalFile;
  /** It returns the checkpoint as it stands then. */
  readonly checkpoint: () => Checkpoint;
  readonly onFault: (reason: string) => void;
}

export class Upkeep {
  #savedMs: number;
  /** Something was settled since. */
  #isBehind = false;
  /** It is what the disk has. */
  #saved: Checkpoint | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** So many are under way or wait. */
  #turns = 0;

  constructor(private readonly options: UpkeepOptions) {
    this.#savedMs = options.monotonicMs();
  }

  /** Runs the work while nothing is removed, and no other checkpoint written. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#turns++;
    const result = this.#turn.then(work).finally(() => this.#turns--);
    this.#turn = result.catch(() => {});
    return result;
  }

  /**
   * Saves after something was settled: not each time, but when a second has passed, or for what can
   * go.
   */
  async saveWhenDue(): Promise<void> {
    this.#isBehind = true;
    if (this.#isDue() || this.#disposable().length > 0) await this.save();
  }

  /**
   * Writes one checkpoint after the other, and after it removes what need not be kept. A failure
   * costs nothing but space and replays: it is tried again later.
   * @param maxBytes what is settled goes, the oldest first, until so much is left
   */
  save(maxBytes = Infinity): Promise<void> {
    const { dir, monotonicMs, segments, commit, lock, onFault } = this.options;
    this.#savedMs = monotonicMs();
    this.#isBehind = false;
    return this.inTurn(async () => {
      // What is at its place now may be another journal, of which nothing must be replaced or
      // removed.
      if (this.#giveUpWhen(lock.displaced())) return;
      try {
        const above = segments.oldestAbove(maxBytes, commit.activeSegment);
        const leaving = new Set([...this.#disposable(), ...above]);
        await this.writeCheckpoint();
        await segments.remove([...leaving]);
      } catch (error) {
        const reason = reasonOf(error);
        onFault(`Cannot write the checkpoint or remove a segment in ${dir}: ${reason}`);
      }
    });
  }

  /** Writes the checkpoint as it stands. It may be called only {@link inTurn}. */
  async writeCheckpoint(): Promise<void> {
    const { fs, dir } = this.options;
    const checkpoint = this.options.checkpoint();
    await writeCheckpoint(fs, dir, checkpoint);
    this.#saved = checkpoint;
  }

  /**
   * Gives up settled segments of a full disk, the oldest first, until so many bytes are free. It
   * says whether there was one, and never rejects. It does not wait for what is under way, as a
   * rewind may take long, and a write is better refused at once.
   */
  freeDisk(bytes: number): Promise<boolean> {
    const { dir, segments, commit, lock, onFault } = this.options;
    if (this.#turns > 0) return Promise.resolve(false);
    return this.inTurn(async () => {
      if (this.#giveUpWhen(lock.displaced())) return false;
      try {
        await this.writeCheckpoint();
      } catch {
        // There may be no room for one: then only what the last one calls settled can go.
      }
      const leaving = segments.oldestAbove(segments.bytes - bytes, commit.activeSegment)
        .filter((segment) => this.#isSaved(segment));
      try {
        await segments.remove(leaving);
      } catch (error) {
        onFault(`Cannot remove a segment in ${dir}: ${reasonOf(error)}`);
        return false;
      }
      return leaving.length > 0;
    });
  }

  /** Says whether the checkpoint on disk calls all of a segment settled. */
  #isSaved({ source, lastSeq }: Segment): boolean {
    const saved = this.#saved?.sources.find((progress) => progress.source === source);
    return saved !== undefined && lastSeq <= saved.doneSeq;
  }

  /**
   * Makes room before a group of so many bytes is written. A group that was accepted is written in
   * any case: to be over the limit for a moment is better than to break a promise.
   */
  async makeRoom(bytes: number): Promise<void> {
    const { segments, commit } = this.options;
    const maxBytes = this.options.maxBytes - bytes - HEADER_BYTES;
    if (segments.bytes <= maxBytes || segments.settledBytes === 0) return;
    const { activeSegment } = commit;
    if (activeSegment !== undefined && segments.isSettled(activeSegment)) commit.completeSegment();
    await this.save(maxBytes);
  }

  /**
   * Notices that the directory or a file in it is not at its place any more, also when nobody
   * writes, and that segments were kept long enough, also when nobody settles. What was settled
   * last is saved here: nobody settles after it.
   */
  lookAround(): void {
    const { segments, commit, lock } = this.options;
    if (commit.failure === undefined) {
      this.#giveUpWhen(lock.displaced() ?? segments.displaced(commit.activeSegment));
    }
    if (this.#isDue() && (this.#isBehind || this.#disposable().length > 0)) this.save();
  }

  #isDue(): boolean {
    return this.options.monotonicMs() - this.#savedMs >= CHECKPOINT_INTERVAL_MS;
  }

  #disposable(): Segment[] {
    const { segments, retainMs, commit } = this.options;
    return segments.disposable(retainMs, commit.activeSegment);
  }

  /**
   * Gives up for a reason, and returns true when there is one: see {@link JournalFile.displaced}.
   */
  #giveUpWhen(reason: string | undefined): boolean {
    if (reason !== undefined) this.options.commit.giveUp(displacedError(reason));
    return reason !== undefined;
  }
}
