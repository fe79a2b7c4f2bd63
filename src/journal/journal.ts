/**
 * The default queue: a segmented, checksummed, group-commit write-ahead journal. Accepted writes
 * live on disk until the store has them, and for a while after; memory holds what is not durable
 * yet and a sparse index. One object, two doors: {@link Intake} and {@link Source}.
 */
import type { Entry, Write } from "../domain.ts";
import { AppError, reasonOf } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Intake, IntakeListener, IntakeStatus, Receipt, Stage } from "../ports/intake.ts";
import type { Batch, Rewound, Source } from "../ports/source.ts";
import { Backlog } from "./backlog.ts";
import { type LastRecord, randomId, writeCheckpoint } from "./checkpoint.ts";
import { HEADER_BYTES } from "./codec.ts";
import { denoFileSystem, type JournalFile, type JournalFileSystem } from "../disk/file_system.ts";
import type { Group } from "./group.ts";
import { GroupCommit } from "./group_commit.ts";
import { displacedError, lockJournal, makeDirectory } from "./place.ts";
import { MAX_RECORD_BYTES, recordBytesBound, USER_ID_BYTES_MAX } from "./record.ts";
import { recover, type Recovered } from "./recovery.ts";
import { stageOf } from "./stages.ts";
import type { DamageReport } from "./survey.ts";

export interface JournalOptions {
  readonly dir: string;
  /** Above it, pushes are refused. */
  readonly maxBytes: number;
  /**
   * So long settled segments are kept, in milliseconds, unless their bytes are needed for new
   * writes: what is in them is sent again when the store went back.
   */
  readonly retainMs: number;
  readonly listener: IntakeListener;
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
   * Runs the regular look at whether the files are at their place, and what was kept long enough;
   * without it that is done with writes and settlements only.
   */
  readonly setInterval?: Clock["setInterval"];
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
const LOOK_AROUND_MS = 500;
/** What waits for the disk is held in memory. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;
const CHECKPOINT_INTERVAL_MS = 1_000;
/** After the disk was found full, pushes are refused at once for so long. */
const DISK_FULL_PAUSE_MS = 500;
/**
 * So long a refusal for want of room counts as a state: whoever asks for it does so every now and
 * then.
 */
const LACK_OF_ROOM_MS = 2_000;

/**
 * Locks and recovers the journal in `dir`, which is made when missing. The listener is told of what
 * waits before this resolves.
 * @throws AppError `journal-failed` when another process has it, or it holds what only a person can
 *   decide on
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { dir, fs = denoFileSystem, observer = {}, listener } = options;
  const monotonicMs = options.monotonicMs ?? (() => performance.now());
  await makeDirectory(fs, dir);
  const lock = await lockJournal(fs, dir);
  try {
    const run = randomId();
    const recovered = await recover({
      fs,
      dir,
      run,
      keepsSettled: options.retainMs > 0,
      monotonicMs,
      onUnsettled: (entry) => listener.unsettled(entry),
    });
    for (const report of recovered.damage) observer.onDamage?.(report);
    observer.onOpened?.(recovered.lastAcceptedMs);
    return new Journal({ ...options, fs, monotonicMs }, run, recovered, lock);
  } catch (error) {
    lock.close();
    throw error;
  }
}

type OpenOptions = JournalOptions & Required<Pick<JournalOptions, "fs" | "monotonicMs">>;

export class Journal implements Intake, Source {
  readonly #fs: JournalFileSystem;
  readonly #dir: string;
  readonly #segmentBytes: number;
  readonly #now: () => number;
  readonly #monotonicMs: () => number;
  readonly #observer: JournalObserver;
  readonly #backlog: Backlog;
  readonly #commit: GroupCommit;
  #lastAcceptedMs: number;
  #waitingBytes = 0;
  #diskFullUntilMs = -Infinity;
  #lackOfRoom = { reason: "", untilMs: -Infinity };
  #savedMs: number;
  #saving: Promise<unknown> = Promise.resolve();
  #taking: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;
  readonly #stopLooking: (() => void) | undefined;

  /** Use {@link openJournal}. */
  constructor(
    private readonly options: OpenOptions,
    readonly run: string,
    private readonly recovered: Recovered,
    private readonly lock: JournalFile,
  ) {
    const { fs, dir, maxBytes, monotonicMs, observer = {} } = options;
    this.#fs = fs;
    this.#dir = dir;
    // Settled records can fill a segment, never the journal.
    const segmentBytes = options.segmentBytes ??
      Math.max(SEGMENT_BYTES, Math.ceil(maxBytes / SEGMENTS_MAX));
    this.#segmentBytes = Math.min(segmentBytes, Math.floor(maxBytes / 4));
    this.#now = options.now ?? Date.now;
    this.#monotonicMs = monotonicMs;
    this.#observer = observer;
    // Two runs of one instance never meet in one millisecond: their numbers say nothing about
    // which came first.
    this.#lastAcceptedMs = recovered.lastAcceptedMs > 0 ? recovered.lastAcceptedMs + 1 : 0;
    this.#savedMs = monotonicMs();
    const { segments, progress, withdrawn, unsettled: depth } = recovered;
    const onDamage = (report: DamageReport) => observer.onDamage?.(report);
    this.#backlog = new Backlog({ fs, dir, segments, progress, withdrawn, run, depth, onDamage });
    this.#commit = this.#startCommit(recovered);
    this.#stopLooking = options.setInterval?.(() => this.#lookAround(), LOOK_AROUND_MS);
  }

  push(write: Write): Receipt {
    const nowMs = this.#now();
    this.#refusePush(write);
    const entry: Entry = {
      userId: write.userId,
      value: write.value,
      ts: write.ts,
      acceptedMs: Math.max(nowMs, this.#lastAcceptedMs),
      run: this.run,
      seq: this.#backlog.acceptedSeq + 1,
    };
    const appended = this.#commit.append(entry, this.#room());
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

  async read(run: string, seq: number): Promise<Entry | undefined> {
    this.#refuseClosed();
    return await this.#backlog.read(run, seq);
  }

  stageOf(run: string, seq: number): Stage {
    const { acceptedSeq } = this.#backlog;
    const current = { run: this.run, acceptedSeq, durableSeq: this.#commit.durableSeq };
    return stageOf(run, seq, current, this.recovered);
  }

  status(): IntakeStatus {
    const { depth, acceptedSeq } = this.#backlog;
    const { segments, progress, instance } = this.recovered;
    const { failure, durableSeq } = this.#commit;
    return {
      instance,
      depth,
      oldestAcceptedMs: depth === 0
        ? undefined
        : this.#backlog.oldestAcceptedMs ?? this.#commit.oldestWaitingMs,
      bytes: segments.bytes + this.#waitingBytes,
      retainedBytes: segments.settledBytes,
      accepted: acceptedSeq,
      durable: durableSeq,
      settled: progress.doneSeq(this.run),
      failure: failure && reasonOf(failure.cause),
      lackOfRoom: this.#monotonicMs() < this.#lackOfRoom.untilMs
        ? this.#lackOfRoom.reason
        : undefined,
    };
  }

  get unsettled(): number {
    return this.#backlog.depth;
  }

  open(): Promise<ReadonlyMap<string, number>> {
    return this.#inTakingTurn(() => Promise.resolve(this.#backlog.open()));
  }

  take(maxRows: number): Promise<Batch | undefined> {
    return this.#inTakingTurn(() => this.#backlog.take(maxRows));
  }

  async settle(batch: Batch): Promise<void> {
    this.#refuseClosed();
    this.#backlog.settle(batch);
    this.#completeIdleSegment();
    const due = this.#monotonicMs() - this.#savedMs >= CHECKPOINT_INTERVAL_MS;
    if (due || this.#disposable().length > 0) await this.#save();
  }

  rewind(source: string, seq: number): Promise<Rewound> {
    const { listener } = this.options;
    return this.#inTakingTurn(() =>
      this.#inSavingTurn(() =>
        this.#backlog.rewind(
          source,
          seq,
          () => this.#writeCheckpoint(),
          (entry) => listener.unsettled(entry),
        )
      )
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopLooking?.();
    try {
      await this.#commit.flush();
      await this.#taking;
      this.#commit.completeSegment();
      await this.#save();
      await this.recovered.segments.close();
    } finally {
      this.lock.close();
    }
  }

  #startCommit(recovered: Recovered): GroupCommit {
    const { instance, last, lastAcceptedMs, ordinal, segments } = recovered;
    return new GroupCommit({
      fs: this.#fs,
      dir: this.#dir,
      segmentBytes: this.#segmentBytes,
      instance,
      run: this.run,
      previousRun: last.run,
      previousSeq: last.seq,
      lastAcceptedMs,
      ordinal,
      displaced: () => this.lock.displaced(),
      makeRoom: (bytes) => this.#makeRoom(bytes),
      onSegment: (segment) => segments.add(segment),
      onCommitted: (segment, group) => {
        this.#waitingBytes -= group.length;
        this.#backlog.commit(segment, group);
        this.options.listener.durable(group.entries);
      },
      onRejected: (group) => this.#withdraw(group),
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

  #withdraw(group: Group): void {
    this.#waitingBytes -= group.length;
    this.recovered.withdrawn.add(this.run, group.first.seq, group.last.seq);
    this.#backlog.forget(group.entries.length);
    this.options.listener.withdrawn(group.entries);
  }

  /** Bytes that the next record may have. What is settled is no reason to refuse one. */
  #room(): number {
    const { bytes, settledBytes } = this.recovered.segments;
    const free = this.options.maxBytes - bytes + settledBytes;
    return Math.min(free, WAITING_BYTES_MAX) - this.#waitingBytes;
  }

  /**
   * Before a group is written. A group that was accepted is written in any case: to be over the
   * limit for a moment is better than to break a promise.
   */
  async #makeRoom(bytes: number): Promise<void> {
    const { segments } = this.recovered;
    const maxBytes = this.options.maxBytes - bytes - HEADER_BYTES;
    if (segments.bytes <= maxBytes || segments.settledBytes === 0) return;
    const { activeSegment } = this.#commit;
    if (activeSegment !== undefined && segments.isSettled(activeSegment)) {
      this.#commit.completeSegment();
    }
    await this.#save(maxBytes);
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
        `A user id of ${userId.length} and a value of ${value.length} characters are more than a ` +
          "record holds.",
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
   * writes, and that segments were kept long enough, also when nobody settles.
   */
  #lookAround(): void {
    if (this.#commit.failure === undefined) {
      this.#giveUpWhen(this.lock.displaced() ?? this.recovered.segments.displaced());
    }
    if (this.#disposable().length > 0) this.#save();
  }

  #disposable() {
    return this.recovered.segments.disposable(this.options.retainMs, this.#commit.activeSegment);
  }

  /** True when there is a reason to: see {@link JournalFile.displaced}. */
  #giveUpWhen(reason: string | undefined): boolean {
    if (reason !== undefined) this.#commit.giveUp(displacedError(reason));
    return reason !== undefined;
  }

  async #inTakingTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#refuseClosed();
    const result = this.#taking.then(work);
    this.#taking = result.catch(() => {});
    return await result;
  }

  #inSavingTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#saving.then(work);
    this.#saving = result.catch(() => {});
    return result;
  }

  /**
   * One checkpoint after the other, and after it the removal of what need not be kept. A failed one
   * costs nothing but space and replays: it is tried again later.
   * @param maxBytes what is settled goes, the oldest first, until so much is left
   */
  #save(maxBytes = Infinity): Promise<void> {
    this.#savedMs = this.#monotonicMs();
    return this.#inSavingTurn(async () => {
      // What is at its place now may be another journal, of which nothing must be replaced or
      // removed.
      if (this.#giveUpWhen(this.lock.displaced())) return;
      const { segments } = this.recovered;
      try {
        const above = segments.oldestAbove(maxBytes, this.#commit.activeSegment);
        const leaving = new Set([...this.#disposable(), ...above]);
        await this.#writeCheckpoint();
        await segments.remove([...leaving]);
      } catch (error) {
        const reason = reasonOf(error);
        this.#observer.onFault?.(
          `Cannot write the checkpoint or remove a segment in ${this.#dir}: ${reason}`,
        );
      }
    });
  }

  async #writeCheckpoint(): Promise<void> {
    const { instance, segments, oldLastSeq, withdrawn, last } = this.recovered;
    const { durableSeq, ordinal } = this.#commit;
    const lastRecord: LastRecord = durableSeq > 0 ? { run: this.run, seq: durableSeq } : last;
    await writeCheckpoint(this.#fs, this.#dir, {
      instance,
      ...segments.checkpoint(oldLastSeq),
      lastAcceptedMs: this.#lastAcceptedMs,
      ordinal,
      last: { run: lastRecord.run, seq: lastRecord.seq, segment: segments.end },
      withdrawn: withdrawn.intervals,
    });
  }
}
