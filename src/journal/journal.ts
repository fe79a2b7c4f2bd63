/**
 * Is the default queue: a segmented, checksummed, group-commit write-ahead journal. Accepted writes
 * live on disk until the store has them, and for a while after; memory holds what is not durable
 * yet and a sparse index. It is one object with two doors, {@link Intake} and {@link Source}.
 */
import type { Entry, Write } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { AppError, reasonOf } from "../errors.ts";
import type { Intake, IntakeStatus, Receipt, Stage } from "../ports/intake.ts";
import type { GroupSource } from "../ports/group_source.ts";
import type { Batch, Rewound, Source } from "../ports/source.ts";
import { Admission } from "./admission.ts";
import { Backlog } from "./backlog.ts";
import { type Checkpoint, type LastRecord, randomId } from "./checkpoint.ts";
import { denoFileSystem, type JournalFile } from "../disk/file_system.ts";
import { type Group, GroupReceipt } from "./group.ts";
import { GroupCommit } from "./group_commit.ts";
import { GroupReader } from "./group_reader.ts";
import { type JournalObserver, type JournalOptions, segmentBytesOf } from "./options.ts";
import { lockJournal, makeDirectory } from "./place.ts";
import { recover, type Recovered } from "./recovery.ts";
import { stageOf } from "./stages.ts";
import type { TraceContext } from "../trace_context.ts";
import { Upkeep } from "./upkeep.ts";

export type { JournalObserver, JournalOptions } from "./options.ts";

/** A directory that was moved away is noticed within a second, also when nobody writes. */
const LOOK_AROUND_MS = 500;

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
  readonly #segmentBytes: number;
  readonly #now: () => number;
  readonly #observer: JournalObserver;
  readonly #admission: Admission;
  readonly #backlog: Backlog;
  readonly #commit: GroupCommit;
  readonly #upkeep: Upkeep;
  #lastAcceptedMs: number;
  #waitingBytes = 0;
  #taking: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;
  readonly #stopLooking: (() => void) | undefined;

  /** It is made by {@link openJournal} alone, which has locked and recovered the directory. */
  constructor(
    private readonly options: OpenOptions,
    readonly run: string,
    private readonly recovered: Recovered,
    private readonly lock: JournalFile,
  ) {
    const { fs, dir, monotonicMs, observer = {} } = options;
    this.#segmentBytes = segmentBytesOf(options);
    this.#now = options.now ?? Date.now;
    this.#observer = observer;
    // Two runs of one instance never meet in one millisecond: their numbers say nothing about
    // which came first.
    this.#lastAcceptedMs = recovered.lastAcceptedMs > 0 ? recovered.lastAcceptedMs + 1 : 0;
    this.#admission = new Admission(dir, monotonicMs);
    const { segments, progress, withdrawn } = recovered;
    this.#backlog = new Backlog({
      segments,
      progress,
      withdrawn,
      fs,
      dir,
      depth: recovered.unsettled,
      tell: (entry) => options.listener.unsettled(entry),
      onDamage: (report) => observer.onDamage?.(report),
    });
    this.#commit = this.#startCommit();
    this.#upkeep = new Upkeep({
      ...options,
      segments,
      lock,
      commit: this.#commit,
      checkpoint: () => this.#checkpoint(),
      onFault: (reason) => observer.onFault?.(reason),
    });
    this.#stopLooking = options.setInterval?.(() => this.#upkeep.lookAround(), LOOK_AROUND_MS);
  }

  push(write: Write): Receipt {
    const nowMs = this.#now();
    this.#refuseClosed();
    this.#refuseFailed();
    this.#admission.refuse(write);
    const entry: Entry & { trace?: TraceContext } = {
      userId: write.userId,
      value: write.value,
      ts: write.ts,
      acceptedMs: Math.max(nowMs, this.#lastAcceptedMs),
      run: this.run,
      seq: this.#backlog.acceptedSeq + 1,
    };
    if (write.trace !== undefined) entry.trace = write.trace;
    const appended = this.#commit.append(entry, this.#room());
    if (appended === undefined) throw this.#admission.journalIsFull();
    this.#lastAcceptedMs = entry.acceptedMs;
    this.#waitingBytes += appended.recordBytes;
    this.#backlog.accept(entry.seq);
    return new GroupReceipt(entry, appended.group);
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
    const { depth, acceptedSeq, oldestAcceptedMs } = this.#backlog;
    const { segments, progress, instance } = this.recovered;
    const { failure, durableSeq, oldestWaitingMs } = this.#commit;
    return {
      instance,
      depth,
      oldestAcceptedMs: depth === 0 ? undefined : oldestAcceptedMs ?? oldestWaitingMs,
      bytes: segments.bytes + this.#waitingBytes,
      retainedBytes: segments.settledBytes,
      accepted: acceptedSeq,
      durable: durableSeq,
      settled: progress.doneSeq(this.run),
      failure: failure && reasonOf(failure.cause),
      lackOfRoom: this.#admission.lackOfRoom,
    };
  }

  get unsettled(): number {
    return this.#backlog.depth;
  }

  open(): Promise<ReadonlyMap<string, number>> {
    return this.#inTurn(() => this.#backlog.open());
  }

  take(maxRows: number): Promise<Batch | undefined> {
    return this.#inTurn(() => this.#backlog.take(maxRows));
  }

  async settle(batch: Batch): Promise<void> {
    this.#refuseClosed();
    this.#backlog.settle(batch);
    this.#completeIdleSegment();
    await this.#upkeep.saveWhenDue();
  }

  rewind(source: string, seq: number): Promise<Rewound> {
    const save = () => this.#upkeep.writeCheckpoint();
    return this.#inTurn(() => this.#upkeep.inTurn(() => this.#backlog.rewind(source, seq, save)));
  }

  /** They are the sources of which something is here, the oldest first. */
  get sources(): readonly string[] {
    return this.recovered.segments.sources(false);
  }

  /** They are those of which the store may lack something. */
  get waitingSources(): readonly string[] {
    return this.recovered.segments.sources(true);
  }

  /**
   * Returns a reader of the wanted sources with a place of its own, which begins with what the store
   * may not have.
   */
  groups(isWanted: (source: string) => boolean): GroupSource {
    return new GroupReader({ ...this.recovered, run: this.run, isWanted });
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
      await this.#commit.completeSegment();
      await this.#upkeep.save();
      await this.recovered.segments.close();
    } finally {
      this.lock.close();
    }
  }

  #startCommit(): GroupCommit {
    const { fs, dir, listener, setTimeout } = this.options;
    const { instance, last, lastAcceptedMs, ordinal, segments } = this.recovered;
    return new GroupCommit({
      fs,
      dir,
      segmentBytes: this.#segmentBytes,
      instance,
      run: this.run,
      previousRun: last.run,
      previousSeq: last.seq,
      lastAcceptedMs,
      ordinal,
      setTimeout,
      displaced: () => this.lock.displaced(),
      makeRoom: (bytes) => this.#upkeep.makeRoom(bytes),
      freeDisk: (bytes) => this.#upkeep.freeDisk(bytes),
      onSegment: (segment) => segments.add(segment),
      onCommitted: (segment, group) => {
        this.#waitingBytes -= group.length;
        this.#backlog.commit(segment, group);
        listener.durable(group.entries);
      },
      onRejected: (group) => this.#withdraw(group),
      onFailed: (failure) => this.#observer.onFailed?.(reasonOf(failure.cause)),
      onDiskFull: () => {
        this.#admission.diskWasFull();
        this.#observer.onFault?.(
          `The disk of ${dir} is full: writes are refused until there is room`,
        );
      },
      onFsync: (durationMs, groupRecords) => this.#observer.onFsync?.(durationMs, groupRecords),
    });
  }

  #withdraw(group: Group): void {
    this.#waitingBytes -= group.length;
    this.recovered.withdrawn.add(this.run, group.first.seq, group.last.seq);
    this.#backlog.countOut(group.entries.length);
    this.options.listener.withdrawn(group.entries);
  }

  /**
   * Returns the bytes that the next record may have. What is settled is no reason to refuse one.
   */
  #room(): number {
    const { bytes, settledBytes } = this.recovered.segments;
    const free = this.options.maxBytes - bytes + settledBytes;
    return Math.min(free, MEMORY_BUDGET.journalGroups.bytes) - this.#waitingBytes;
  }

  #refuseClosed(): void {
    if (this.#closing !== undefined) {
      throw new AppError("shutting-down", "The service is shutting down. Retry later.");
    }
  }

  #refuseFailed(): void {
    const { failure } = this.#commit;
    if (failure === undefined) return;
    throw new AppError("journal-failed", failure.message, { cause: failure.cause });
  }

  /**
   * Completes a segment that has grown when nothing is left to take, so that it gives its space
   * back without waiting to be full.
   */
  #completeIdleSegment(): void {
    const active = this.#commit.activeSegment;
    if (active !== undefined && this.#backlog.depth === 0 && active.end > this.#segmentBytes / 2) {
      this.#commit.completeSegment();
    }
  }

  /** Lets takes, and what moves the place of the next one, come one after the other. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#refuseClosed();
    const result = this.#taking.then(work);
    this.#taking = result.catch(() => {});
    return await result;
  }

  #checkpoint(): Checkpoint {
    const { instance, segments, oldLastSeq, withdrawn, last } = this.recovered;
    const { durableSeq, ordinal } = this.#commit;
    const { run, seq }: LastRecord = durableSeq > 0 ? { run: this.run, seq: durableSeq } : last;
    return {
      instance,
      ...segments.checkpoint(oldLastSeq),
      lastAcceptedMs: this.#lastAcceptedMs,
      ordinal,
      last: { run, seq, segment: segments.end },
      // What failed last may be found by the next start after all, as its bytes may be on disk. If
      // not, it is known as what a crash took.
      withdrawn: withdrawn.intervals.filter((interval) =>
        interval.run !== this.run || interval.lastSeq <= durableSeq
      ),
    };
  }
}
