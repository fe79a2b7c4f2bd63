/**
 * Is the one writer of the journal: all records that wait go out in one write and one fsync, and
 * become durable together. It owns the segment being written. A failed fsync ends it for good, and
 * so do files that are not at their place; a full disk does not.
 */
import type { Entry } from "../domain.ts";
import { AppError, reasonOf } from "../errors.ts";
import type { SegmentHeader } from "./codec.ts";
import { isDiskFull, type JournalFileSystem } from "../disk/file_system.ts";
import type { Clock } from "../ports/clock.ts";
import { ActiveSegment } from "./active_segment.ts";
import { Gathering } from "./gathering.ts";
import { Group } from "./group.ts";
import { GroupBuffers } from "./group_buffers.ts";
import { displacedError } from "./place.ts";
import { recordBytesBound } from "./record.ts";
import type { Segment } from "./segment.ts";
import { createSegment } from "./segment_file.ts";

interface GroupCommitOptions {
  readonly fs: JournalFileSystem;
  readonly dir: string;
  readonly segmentBytes: number;
  readonly instance: string;
  readonly run: string;
  /**
   * These name the last durable record of earlier runs; they are 0 and empty when there is none.
   */
  readonly previousRun: string;
  readonly previousSeq: number;
  readonly lastAcceptedMs: number;
  /** It is the highest number in the name of a segment. */
  readonly ordinal: number;
  readonly setTimeout: Clock["setTimeout"] | undefined;
  /** It says of the directory what {@link JournalFile.displaced} says of a file. */
  readonly displaced: () => string | undefined;
  /** Makes room for so many bytes, where that is possible; never rejects. */
  readonly makeRoom: (bytes: number) => Promise<void>;
  /**
   * Gives up what is kept on a full disk, until so many bytes are free. It says whether anything
   * was, and never rejects.
   */
  readonly freeDisk: (bytes: number) => Promise<boolean>;
  readonly onSegment: (segment: Segment) => void;
  /** It is told that the group is durable, before its waiters are. */
  readonly onCommitted: (segment: Segment, group: Group) => void;
  readonly onRejected: (group: Group) => void;
  readonly onDiskFull: () => void;
  /** It is told once that nothing is written any more. */
  readonly onFailed: (failure: AppError) => void;
  readonly onFsync: (durationMs: number, groupRecords: number) => void;
}

/** A group has at most so many bytes, so that nobody waits long for the writes of others. */
const GROUP_BYTES = 2 * 1024 * 1024;

export class GroupCommit {
  /**
   * A run has one salt: within the run a sequence number never comes twice, so that an old record
   * is never taken for a new one.
   */
  readonly #salt = crypto.getRandomValues(new Uint32Array(1))[0]!;
  readonly #groupBytes: number;
  readonly #waiting: Group[] = [];
  #underWay: Group | undefined;
  #working: Promise<void> | undefined;
  #active: ActiveSegment | undefined;
  /** It resolves when the segments completed so far are closed. */
  #completed: Promise<void> = Promise.resolve();
  #durableSeq = 0;
  #lastAcceptedMs: number;
  #ordinal: number;
  #failure: AppError | undefined;
  readonly #buffers = new GroupBuffers();
  readonly #gathering: Gathering;

  constructor(private readonly options: GroupCommitOptions) {
    this.#groupBytes = Math.min(GROUP_BYTES, options.segmentBytes);
    this.#lastAcceptedMs = options.lastAcceptedMs;
    this.#ordinal = options.ordinal;
    this.#gathering = new Gathering(options.setTimeout);
  }

  /** It says why nothing can become durable any more; its cause says it all. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  /** It is the last durable number of this run, and 0 before the first. */
  get durableSeq(): number {
    return this.#durableSeq;
  }

  /** It is the number in the name of the last segment. */
  get ordinal(): number {
    return this.#ordinal;
  }

  /** It is the segment being written; all others are complete. */
  get activeSegment(): Segment | undefined {
    return this.#active?.segment;
  }

  /** The first record that is not durable yet was accepted then. */
  get oldestWaitingMs(): number | undefined {
    return (this.#underWay ?? this.#waiting[0])?.first.acceptedMs;
  }

  /**
   * Queues a record of at most `room` bytes; returns its group and its length, or undefined when it
   * is longer.
   */
  append(
    entry: Entry,
    room: number,
  ): { readonly group: Group; readonly recordBytes: number } | undefined {
    let group = this.#waiting.at(-1);
    if (
      group === undefined ||
      group.length + recordBytesBound(entry.userId, entry.value) > this.#groupBytes
    ) {
      group = new Group(this.#buffers.take(), this.#salt);
    }
    const recordBytes = group.encode(entry);
    if (recordBytes > room) {
      if (group !== this.#waiting.at(-1)) this.#buffers.giveBack(group.bytes);
      return undefined;
    }
    group.keep(entry, recordBytes);
    if (group !== this.#waiting.at(-1)) {
      this.#waiting.push(group);
      // The one before it is full.
      if (this.#waiting.length > 1) this.#gathering.end();
    }
    this.#working ??= this.#commitAll();
    return { group, recordBytes };
  }

  /** Ends it for good: nothing that is not durable by now will be. */
  giveUp(reason: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = new AppError(
      "journal-failed",
      "Writes cannot be made durable any more. Check the disk, then restart the service.",
      {
        cause: new Error(`the journal in ${this.options.dir}: ${reason.message}`, {
          cause: reason,
        }),
      },
    );
    this.options.onFailed(this.#failure);
    for (const group of this.#waiting.splice(0)) this.#reject(group, this.#failure);
    if (this.#underWay === undefined) this.#abandonSegment();
  }

  /** Resolves when nothing waits any more. Nothing may be appended after this. */
  async flush(): Promise<void> {
    this.#gathering.stop();
    while (this.#working !== undefined) await this.#working;
  }

  /**
   * Completes the active segment; the next group begins a new one. It may be called only while
   * nothing waits or is under way. It resolves when all completed segments are closed.
   */
  completeSegment(): Promise<void> {
    const active = this.#active;
    this.#active = undefined;
    if (active !== undefined) this.#completed = this.#completed.then(() => active.complete());
    return this.#completed;
  }

  #abandonSegment(): void {
    this.#active?.abandon();
    this.#active = undefined;
  }

  async #commitAll(): Promise<void> {
    // What else is pushed in this turn joins the first group.
    await Promise.resolve();
    for (;;) {
      const [next, another] = this.#waiting;
      if (next?.isAwaited === false && another === undefined) await this.#gathering.wait(next);
      const group = this.#underWay = this.#waiting.shift();
      if (group === undefined) break;
      try {
        const segment = await this.#write(group);
        if (this.#failure !== undefined) throw this.#failure;
        this.#durableSeq = group.last.seq;
        this.#lastAcceptedMs = group.last.acceptedMs;
        this.options.onCommitted(segment, group);
        group.receipt.resolve();
      } catch (error) {
        await this.#fail(group, error);
      }
      this.#buffers.giveBack(group.bytes);
    }
    // This comes in the same turn as the last look at what waits, so that nothing pushed later is
    // left lying.
    this.#working = undefined;
  }

  async #write(group: Group): Promise<Segment> {
    const bytes = group.finish();
    await this.options.makeRoom(bytes.length);
    try {
      return await this.#append(group, bytes);
    } catch (error) {
      if (!isDiskFull(error) || !await this.#freeDisk(bytes.length)) throw error;
      return await this.#append(group, bytes);
    }
  }

  /** Says whether there may be room on a full disk now, for the same bytes. */
  async #freeDisk(bytes: number): Promise<boolean> {
    try {
      await this.#cutActiveSegment();
    } catch (cause) {
      // It must not be taken for a full disk, as nobody knows what the segment ends with.
      throw new Error(`A segment cannot be cut: ${reasonOf(cause)}`, { cause });
    }
    // The next segment is to grow as the others did.
    return await this.options.freeDisk(Math.max(bytes, this.options.segmentBytes));
  }

  async #append(group: Group, bytes: Uint8Array): Promise<Segment> {
    const current = this.#active?.segment;
    if (current !== undefined && current.end + group.length > this.options.segmentBytes) {
      await this.completeSegment();
    }
    const active = this.#active ?? await this.#nextSegment(group);
    const startedMs = performance.now();
    await active.append(bytes);
    this.options.onFsync(performance.now() - startedMs, group.entries.length);
    const displaced = active.displaced();
    if (displaced !== undefined) throw displacedError(displaced);
    return active.segment;
  }

  async #nextSegment(group: Group): Promise<ActiveSegment> {
    const { fs, dir, instance, run, previousRun, previousSeq, segmentBytes, onSegment } =
      this.options;
    const displaced = this.options.displaced();
    if (displaced !== undefined) throw displacedError(displaced);
    const header: SegmentHeader = {
      format: 2,
      instance,
      run,
      salt: this.#salt,
      firstSeq: group.first.seq,
      ...(this.#durableSeq > 0
        ? { previousRun: run, previousSeq: this.#durableSeq }
        : { previousRun, previousSeq }),
      lastAcceptedMs: this.#lastAcceptedMs,
    };
    // A name is tried once: what a crash or a full disk left under it is in nobody's way.
    const { segment, file } = await createSegment(fs, dir, ++this.#ordinal, header);
    this.#active = new ActiveSegment(segment, file, {
      aheadBytes: Math.min(fs.aheadBytes, segmentBytes),
      segmentBytes,
    });
    onSegment(segment);
    return this.#active;
  }

  async #fail(group: Group, error: unknown): Promise<void> {
    if (!isDiskFull(error)) return this.#poison(group, error);
    try {
      await this.#cutActiveSegment();
    } catch (cuttingError) {
      return this.#poison(group, cuttingError);
    }
    this.options.onDiskFull();
    this.#reject(
      group,
      new AppError("queue-full", "The disk is full: the write was not accepted. Retry later.", {
        cause: error,
      }),
    );
  }

  /**
   * Cuts the active segment back to its last durable byte. Numbers were lost, so that the segment
   * ends here.
   */
  async #cutActiveSegment(): Promise<void> {
    await this.#active?.cut();
    this.#active = undefined;
  }

  /**
   * Ends it for good instead of trying again: after a failed fsync the page cache calls clean what
   * the disk does not have.
   */
  #poison(group: Group, error: unknown): void {
    this.giveUp(error instanceof Error ? error : new Error(reasonOf(error)));
    this.#reject(group, this.#failure!);
    this.#abandonSegment();
  }

  #reject(group: Group, error: AppError): void {
    this.options.onRejected(group);
    group.receipt.reject(error);
  }
}
