/**
 * The default queue: a segmented, checksummed, group-commit write-ahead journal. Accepted writes
 * live on disk until the store has them; memory holds what is not durable yet and a sparse index.
 */
import type { Entry, Write } from "../domain.ts";
import { AppError, reasonOf } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Receipt } from "../ports/intake.ts";
import type { Queue, QueueStats } from "../ports/queue.ts";
import type { Batch } from "../ports/source.ts";
import { Backlog } from "./backlog.ts";
import { randomId, type Settled, writeCheckpoint } from "./checkpoint.ts";
import { MAX_RECORD_BYTES, recordBytesBound, USER_ID_BYTES_MAX } from "./codec.ts";
import { denoFileSystem, type JournalFile, type JournalFileSystem } from "../disk/file_system.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { GroupCommit } from "./group_commit.ts";
import { displacedError, lockJournal, makeDirectory } from "./place.ts";
import { recover, type Recovered } from "./recovery.ts";
import type { DamageReport } from "./survey.ts";

export interface JournalOptions {
  readonly dir: string;
  /** Above it, pushes are refused. */
  readonly maxBytes: number;
  /**
   * A segment is completed at this size, or at a quarter of `maxBytes` if that is less. Default 64
   * MiB, or 1/256 of `maxBytes`.
   */
  readonly segmentBytes?: number;
  readonly fs?: JournalFileSystem;
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** Milliseconds by a clock that is never set. */
  readonly monotonicMs?: () => number;
  /**
   * Runs the regular look at whether the files are at their place; without it they are looked at
   * with each write only.
   */
  readonly setInterval?: Clock["setInterval"];
  /** Called in order with every unacknowledged entry found at the start. */
  readonly onRecovered?: (entry: Entry) => void;
  readonly observer?: JournalObserver;
}

/** Told of what metrics and logs should show. */
export interface JournalObserver {
  onFsync?(durationMs: number, groupRecords: number): void;
  onDamage?(report: DamageReport): void;
  /** Something failed that is tried again: a checkpoint, the removal of a segment. */
  onFault?(reason: string): void;
  /** Nothing can be made durable any more; told once. */
  onFailed?(reason: string): void;
  /**
   * The journal is open. @param lastAcceptedMs of the last write it knows of, Unix milliseconds; 0
   * when it knows none
   */
  onOpened?(lastAcceptedMs: number): void;
}

const SEGMENT_BYTES = 64 * 1024 * 1024;
/** Each takes a file descriptor: a journal larger than so many segments gets larger ones. */
const SEGMENTS_MAX = 256;
const PLACE_CHECK_MS = 500;
const CHECKPOINT_INTERVAL_MS = 1_000;
/** After the disk was found full, pushes are refused at once for so long. */
const DISK_FULL_PAUSE_MS = 500;
/**
 * So long a refusal for want of room counts as a state: whoever asks for it does so every now and
 * then.
 */
const LACK_OF_ROOM_MS = 2_000;

/**
 * Locks and recovers the journal in `dir`, which is made when missing.
 * @throws AppError `journal-failed` when another process has it, or it holds what only a person can
 *   decide on
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { dir, fs = denoFileSystem, observer = {}, onRecovered = () => {} } = options;
  await makeDirectory(fs, dir);
  const lock = await lockJournal(fs, dir);
  try {
    const recovered = await recover(fs, dir, onRecovered);
    for (const report of recovered.damage) observer.onDamage?.(report);
    observer.onOpened?.(recovered.lastAcceptedMs);
    return new Journal(options, recovered, lock);
  } catch (error) {
    lock.close();
    throw error;
  }
}

export class Journal implements Queue {
  readonly cacheWasCurrent: boolean;
  readonly settledBefore: Settled | undefined;
  readonly #fs: JournalFileSystem;
  readonly #dir: string;
  readonly #maxBytes: number;
  readonly #segmentBytes: number;
  readonly #now: () => number;
  readonly #monotonicMs: () => number;
  readonly #observer: JournalObserver;
  readonly #instance: string;
  readonly #backlog: Backlog;
  readonly #commit: GroupCommit;
  #lastAcceptedMs: number;
  #waitingBytes = 0;
  #diskFullUntilMs = -Infinity;
  #lackOfRoom = { reason: "", untilMs: -Infinity };
  #savedMs: number;
  #saving: Promise<void> = Promise.resolve();
  #taking: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;
  readonly #stopLooking: (() => void) | undefined;

  /** Use {@link openJournal}. */
  constructor(options: JournalOptions, recovered: Recovered, private readonly lock: JournalFile) {
    this.#fs = options.fs ?? denoFileSystem;
    this.#dir = options.dir;
    this.#maxBytes = options.maxBytes;
    // Acknowledged records can fill a segment, never the journal.
    const segmentBytes = options.segmentBytes ??
      Math.max(SEGMENT_BYTES, Math.ceil(options.maxBytes / SEGMENTS_MAX));
    this.#segmentBytes = Math.min(segmentBytes, Math.floor(options.maxBytes / 4));
    this.#now = options.now ?? Date.now;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.cacheWasCurrent = recovered.cacheCurrent;
    this.settledBefore = recovered.settled;
    this.#observer = options.observer ?? {};
    this.#instance = recovered.instance;
    this.#lastAcceptedMs = recovered.lastAcceptedMs;
    this.#savedMs = this.#monotonicMs();
    this.#backlog = new Backlog(
      this.#fs,
      this.#dir,
      recovered,
      (report) => this.#observer.onDamage?.(report),
    );
    this.#commit = this.#startCommit(recovered);
    this.#stopLooking = options.setInterval?.(() => this.#lookAround(), PLACE_CHECK_MS);
  }

  push(write: Write): Receipt {
    const nowMs = this.#now();
    this.#refusePush(write);
    const entry: Entry = {
      userId: write.userId,
      value: write.value,
      ts: write.ts,
      acceptedMs: Math.max(nowMs, this.#lastAcceptedMs),
      run: this.#instance,
      seq: this.#backlog.lastSeq + 1,
    };
    const room = Math.min(this.#maxBytes - this.#backlog.bytes, MEMORY_BUDGET.journalGroups.bytes) -
      this.#waitingBytes;
    const appended = this.#commit.append(entry, room);
    if (appended === undefined) {
      this.#refusedForRoom(
        "the journal has as much as it may hold (JOURNAL_MAX_BYTES), and the store does not take it",
      );
      throw new AppError(
        "queue-full",
        "The queue is full: writes come faster than they can be stored. Retry later.",
      );
    }
    this.#lastAcceptedMs = entry.acceptedMs;
    this.#waitingBytes += appended.recordBytes;
    this.#backlog.accept(entry.seq);
    return { entry, durable: appended.group.durable };
  }

  async take(maxRows: number): Promise<Batch | undefined> {
    this.#refuseClosed();
    const taken = this.#taking.then(() => this.#backlog.take(maxRows));
    this.#taking = taken.catch(() => {});
    return await taken;
  }

  async ack(batch: Batch): Promise<void> {
    this.#refuseClosed();
    this.#backlog.acknowledge(batch);
    this.#completeIdleSegment();
    const due = this.#monotonicMs() - this.#savedMs >= CHECKPOINT_INTERVAL_MS;
    if (due || this.#backlog.removable(this.#commit.activeSegment).length > 0) await this.#save();
  }

  async read(seq: number): Promise<Entry | undefined> {
    this.#refuseClosed();
    return await this.#backlog.read(seq);
  }

  stats(): QueueStats {
    const { depth, lastSeq, ackedSeq, bytes } = this.#backlog;
    const { failure } = this.#commit;
    return {
      instance: this.#instance,
      depth,
      oldestAcceptedMs: depth === 0
        ? undefined
        : this.#backlog.oldestAcceptedMs ?? this.#commit.oldestWaitingMs,
      bytes: bytes + this.#waitingBytes,
      lastSeq,
      ackedSeq,
      failure: failure && reasonOf(failure.cause),
      lackOfRoom: this.#monotonicMs() < this.#lackOfRoom.untilMs
        ? this.#lackOfRoom.reason
        : undefined,
    };
  }

  close(cacheCurrent = false): Promise<void> {
    this.#closing ??= this.#close(cacheCurrent);
    return this.#closing;
  }

  async #close(cacheCurrent: boolean): Promise<void> {
    this.#stopLooking?.();
    try {
      await this.#commit.flush();
      await this.#taking;
      this.#commit.completeSegment();
      await this.#save(cacheCurrent);
      await this.#backlog.close();
    } finally {
      this.lock.close();
    }
  }

  #startCommit(recovered: Recovered): GroupCommit {
    return new GroupCommit({
      fs: this.#fs,
      dir: this.#dir,
      segmentBytes: this.#segmentBytes,
      instance: recovered.instance,
      run: randomId(),
      durableSeq: recovered.lastSeq,
      lastAcceptedMs: recovered.lastAcceptedMs,
      displaced: () => this.lock.displaced(),
      onSegment: (segment) => this.#backlog.addSegment(segment),
      onCommitted: (segment, group) => {
        this.#waitingBytes -= group.length;
        this.#backlog.commit(segment, group);
      },
      onRejected: (group) => {
        this.#waitingBytes -= group.length;
        this.#backlog.forget(group.records);
      },
      onFailed: (failure) => this.#observer.onFailed?.(reasonOf(failure.cause)),
      onDiskFull: () => {
        this.#diskFullUntilMs = this.#monotonicMs() + DISK_FULL_PAUSE_MS;
        this.#refusedForRoom(`the disk of ${this.#dir} is full`);
        this.#observer.onFault?.(
          `The disk of ${this.#dir} is full: writes are refused until there is room`,
        );
      },
      onFsync: (durationMs, groupRecords) => this.#observer.onFsync?.(durationMs, groupRecords),
    });
  }

  #refusedForRoom(reason: string): void {
    this.#lackOfRoom = { reason, untilMs: this.#monotonicMs() + LACK_OF_ROOM_MS };
  }

  #refusePush(write: Write): void {
    this.#refuseClosed();
    const { failure } = this.#commit;
    if (failure !== undefined) {
      throw new AppError("journal-failed", failure.message, { cause: failure.cause });
    }
    if (this.#monotonicMs() < this.#diskFullUntilMs) {
      throw new AppError("queue-full", "The disk is full. Retry later.");
    }
    const { userId, value } = write;
    if (
      recordBytesBound(userId, value) > MAX_RECORD_BYTES || userId.length * 3 > USER_ID_BYTES_MAX
    ) {
      throw new AppError(
        "body-too-large",
        `A user id of ${userId.length} and a value of ${value.length} characters are more than a record holds.`,
      );
    }
  }

  #refuseClosed(): void {
    if (this.#closing !== undefined) {
      throw new AppError("shutting-down", "The service is shutting down. Retry later.");
    }
  }

  /**
   * With nothing left to take, a segment that has grown gives its space back without waiting to be
   * full.
   */
  #completeIdleSegment(): void {
    const active = this.#commit.activeSegment;
    if (active !== undefined && this.#backlog.depth === 0 && active.end > this.#segmentBytes / 2) {
      this.#commit.completeSegment();
    }
  }

  /**
   * Notices that the directory or a file in it is not at its place any more, also when nobody
   * writes.
   */
  #lookAround(): void {
    if (this.#commit.failure === undefined) {
      this.#giveUpWhen(this.lock.displaced() ?? this.#backlog.displaced());
    }
  }

  /** True when there is a reason to: see {@link JournalFile.displaced}. */
  #giveUpWhen(reason: string | undefined): boolean {
    if (reason !== undefined) this.#commit.giveUp(displacedError(reason));
    return reason !== undefined;
  }

  /**
   * One checkpoint after the other. A failed one costs nothing but space and replays: it is tried
   * again later.
   */
  #save(cacheCurrent = false): Promise<void> {
    this.#savedMs = this.#monotonicMs();
    this.#saving = this.#saving.then(async () => {
      try {
        await this.#checkpoint(cacheCurrent);
      } catch (error) {
        this.#observer.onFault?.(
          `Cannot write the checkpoint or remove a segment in ${this.#dir}: ${reasonOf(error)}`,
        );
      }
    });
    return this.#saving;
  }

  async #checkpoint(cacheCurrent: boolean): Promise<void> {
    // What is at its place now may be another journal, of which nothing must be replaced or
    // removed.
    if (this.#giveUpWhen(this.lock.displaced())) return;
    const removable = this.#backlog.removable(this.#commit.activeSegment);
    await writeCheckpoint(this.#fs, this.#dir, {
      instance: this.#instance,
      ackedSeq: this.#backlog.ackedSeq,
      lastSeq: this.#commit.durableSeq,
      lastAcceptedMs: this.#lastAcceptedMs,
      cacheCurrent,
      settled: this.#backlog.settled,
    });
    await this.#backlog.remove(removable);
  }
}
