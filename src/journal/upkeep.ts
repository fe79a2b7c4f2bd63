/**
 * What keeps the journal's directory in order while it is open: checkpoints, the removal of what
 * need not be kept, and the look at whether the files are where they were.
 */
import { reasonOf } from "../errors.ts";
import { type Checkpoint, writeCheckpoint } from "./checkpoint.ts";
import { HEADER_BYTES } from "./codec.ts";
import type { JournalFile, JournalFileSystem } from "../disk/file_system.ts";
import type { GroupCommit } from "./group_commit.ts";
import { displacedError } from "./place.ts";
import type { Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

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
  /** As it stands when it is asked for. */
  readonly checkpoint: () => Checkpoint;
  readonly onFault: (reason: string) => void;
}

export class Upkeep {
  #savedMs: number;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: UpkeepOptions) {
    this.#savedMs = options.monotonicMs();
  }

  /** Nothing is removed, and no other checkpoint written, while the work is under way. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  /** After something was settled: not each time, but for what can go. */
  async saveWhenDue(): Promise<void> {
    if (this.#isDue() || this.#disposable().length > 0) await this.save();
  }

  /**
   * One checkpoint after the other, and after it the removal of what need not be kept. A failed one
   * costs nothing but space and replays: it is tried again later.
   * @param maxBytes what is settled goes, the oldest first, until so much is left
   */
  save(maxBytes = Infinity): Promise<void> {
    const { dir, monotonicMs, segments, commit, lock, onFault } = this.options;
    this.#savedMs = monotonicMs();
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

  /** Only {@link inTurn}. */
  async writeCheckpoint(): Promise<void> {
    const { fs, dir, checkpoint } = this.options;
    await writeCheckpoint(fs, dir, checkpoint());
  }

  /**
   * Before a group of so many bytes is written. A group that was accepted is written in any case:
   * to be over the limit for a moment is better than to break a promise.
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
   * writes, and that segments were kept long enough, also when nobody settles.
   */
  lookAround(): void {
    const { segments, commit, lock } = this.options;
    if (commit.failure === undefined) {
      this.#giveUpWhen(lock.displaced() ?? segments.displaced(commit.activeSegment));
    }
    if (this.#isDue() && this.#disposable().length > 0) this.save();
  }

  #isDue(): boolean {
    return this.options.monotonicMs() - this.#savedMs >= CHECKPOINT_INTERVAL_MS;
  }

  #disposable(): Segment[] {
    const { segments, retainMs, commit } = this.options;
    return segments.disposable(retainMs, commit.activeSegment);
  }

  /** True when there is a reason to: see {@link JournalFile.displaced}. */
  #giveUpWhen(reason: string | undefined): boolean {
    if (reason !== undefined) this.options.commit.giveUp(displacedError(reason));
    return reason !== undefined;
  }
}
