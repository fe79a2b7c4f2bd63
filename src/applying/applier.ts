/**
 * Is what a worker does: it gathers groups from the broker, brings them to the store in batches, and
 * acknowledges them when the store has them. What fails is tried again, later and later; the broker
 * keeps the rest meanwhile.
 */
import { Backoff } from "../backoff.ts";
import { endsWithin } from "../deadline.ts";
import {
  ForeignGroupError,
  GroupsOverlapError,
  reasonOf,
  StoreNotAskedError,
  StoreRefusesError,
} from "../errors.ts";
import { decodeGroup, UndecodableError } from "../forwarding/group_message.ts";
import type { PauseSwitch } from "../pause_switch.ts";
import type { Consumer, Received } from "../ports/broker.ts";
import type { Clock } from "../ports/clock.ts";
import type { Applied, EntryGroup, GroupStore } from "../ports/group_store.ts";
import { FlushOutage } from "../telemetry/flush_outage.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { RefusedRowsLog } from "../telemetry/refused_rows_log.ts";
import { toldAfter, type Tracing } from "../telemetry/tracing.ts";
import { type BuriedOutcome, MisplacedLog } from "./misplaced_log.ts";
import { rowsOf, type Waiting, WaitingGroups } from "./waiting_groups.ts";

export interface ApplierOptions {
  /** A flush starts as soon as this many rows wait … */
  readonly size: number;
  /** … and at most this long after the first of them came, in milliseconds. */
  readonly intervalMs: number;
  /** One transaction has at most so many rows, or one group. */
  readonly max: number;
}

interface ApplierParts {
  readonly consumer: Consumer;
  readonly groups: GroupStore;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">;
  readonly pausing: PauseSwitch;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
  readonly metrics: Pick<
    Metrics,
    "batchRows" | "flushRetries" | "flushRows" | "receivedMessages"
  >;
  readonly log: Log;
  readonly tracing?: Pick<Tracing, "flush" | "process">;
}

/** The first wait after a failure is bounded by this … */
const RETRY_MS = 200;
/** … and each later one by at most this. */
const RETRY_MAX_MS = 5_000;
/** A flush that the store keeps waiting is not waited for any longer than this at the end. */
const LAST_FLUSH_MS = 2_000;

export class Applier {
  readonly #waiting = new WaitingGroups();
  /** One transaction has so many rows: each failure halves them, each success doubles them. */
  #maxRows: number;
  #isStopped = false;
  #flushing: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #stopListening: (() => void) | undefined;
  readonly #backoff: Backoff;
  readonly #outage: FlushOutage;
  readonly #refusedRows: RefusedRowsLog;
  readonly #misplaced: MisplacedLog;
  /** The last flush failed, and the next one waits so long. */
  #retryMs: number | undefined;
  #failure: string | undefined;
  #refusal: string | undefined;

  constructor(private readonly options: ApplierOptions, private readonly parts: ApplierParts) {
    this.#maxRows = options.max;
    const { random, log, clock } = parts;
    const meanwhile = "its groups stay at the broker, and are tried again";
    this.#outage = new FlushOutage({ log, clock, meanwhile });
    this.#refusedRows = new RefusedRowsLog(log, clock);
    this.#misplaced = new MisplacedLog(log, clock);
    this.#backoff = new Backoff({ firstMs: RETRY_MS, maxMs: RETRY_MAX_MS, random });
  }

  /** It says why the store takes nothing just now; undefined while it does. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** It says why the broker gives nothing; undefined while it does. */
  get brokerFailure(): string | undefined {
    return this.parts.consumer.failure;
  }

  /** It says why the store takes nothing though it answers: only a person can change that. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** So many entries were received, and are not stored yet. */
  get depth(): number {
    return this.#waiting.unstoredRows;
  }

  /**
   * The first entry of the group that waits longest was accepted then, in Unix milliseconds;
   * undefined when none waits.
   */
  get oldestAcceptedMs(): number | undefined {
    return this.#waiting.oldestAcceptedMs;
  }

  start(): void {
    this.#stopListening = this.parts.pausing.onTurn(() => this.#turned());
    this.parts.consumer.start((received) => this.#take(received));
  }

  /** A flush is under way. */
  get isBusy(): boolean {
    return this.#flushing !== undefined;
  }

  /**
   * Brings what was received by now to the store without waiting for its time; not while paused.
   * @returns tells, whenever it is asked, whether all of that is there
   */
  flushNow(): () => boolean {
    const { received } = this.#waiting.counts;
    return () => {
      // What failed waits for its time.
      if (this.#retryMs === undefined) this.#beginIfAny();
      return this.#waiting.counts.done >= received;
    };
  }

  /** Acknowledges what is under way once it is stored, and gives all else back to the broker. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopListening?.();
    this.#cancelTimer?.();
    // What is not known to be stored by then is given to others, and left out if it was.
    if (this.#flushing !== undefined) {
      await endsWithin(this.#flushing, LAST_FLUSH_MS, this.parts.clock);
    }
    this.#waiting.abandon();
    await this.parts.consumer.close();
  }

  #take(received: Received): void {
    if (this.#isStopped) return;
    let group: EntryGroup;
    try {
      group = decodeGroup(received.bytes);
    } catch (error) {
      if (!(error instanceof UndecodableError)) throw error;
      return this.#bury(received, "undecodable", error.message);
    }
    const trace = this.parts.tracing?.process(group.entries);
    this.#waiting.add({ group, received, trace });
    this.#beginWhenDue();
  }

  /** What is under way goes on to its end; what comes meanwhile is kept, and all else by the broker. */
  #turned(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#beginIfAny();
  }

  #beginIfAny(): void {
    if (this.#mayBegin) this.#begin();
  }

  get #mayBegin(): boolean {
    return !this.#isStopped && !this.parts.pausing.isPaused && this.#flushing === undefined &&
      this.#waiting.length > 0;
  }

  #beginWhenDue(): void {
    if (!this.#mayBegin) return;
    if (this.#retryMs === undefined && this.#isFull()) this.#begin();
    else {this.#cancelTimer ??= this.parts.clock.setTimeout(
        () => this.#begin(),
        this.#retryMs ?? this.options.intervalMs,
      );}
  }

  /** A broker that has given all it gives at a time gives nothing more to wait for. */
  #isFull(): boolean {
    return this.#waiting.rows >= this.options.size ||
      this.#waiting.length >= this.parts.consumer.maxGivenOut;
  }

  #begin(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined;
      this.#beginWhenDue();
    });
  }

  async #flush(): Promise<void> {
    const batch = this.#waiting.take(this.#maxRows);
    try {
      await this.#apply(batch);
      this.#outage.succeeded({ waiting: this.#waiting.rows + rowsOf(batch) });
      this.#retryMs = this.#failure = this.#refusal = undefined;
      this.#backoff.reset();
      this.#maxRows = Math.min(this.options.max, 2 * this.#maxRows);
    } catch (error) {
      this.#waiting.putBack(batch);
      this.#failed(error, rowsOf(batch));
    }
  }

  async #apply(batch: readonly Waiting[]): Promise<void> {
    const { groups, metrics, tracing } = this.parts;
    const sampled = () => batch.flatMap(({ trace }) => trace?.contexts ?? []);
    const flush = tracing?.flush(sampled, rowsOf(batch));
    let applied: Applied;
    try {
      applied = await groups.apply(batch.map(({ group }) => group));
      flush?.stored(applied);
    } catch (error) {
      flush?.failed(error);
      const isMisplaced = error instanceof GroupsOverlapError || error instanceof ForeignGroupError;
      if (!isMisplaced) throw error;
      return await this.#applyApart(batch, error);
    }
    this.#report(batch, applied);
    await toldAfter(flush, "fold", this.#fold(batch));
    for (const one of batch) {
      one.trace?.end();
      metrics.receivedMessages.inc({ outcome: "applied" });
      this.#waiting.done(one);
      one.received.acknowledge();
    }
  }

  /**
   * Finds the group that lies across what the store has, or is another store's; its journal has it,
   * and sends it anew while the store lacks it.
   */
  async #applyApart(
    batch: readonly Waiting[],
    error: GroupsOverlapError | ForeignGroupError,
  ): Promise<void> {
    if (batch.length > 1) {
      for (const one of batch) await this.#apply([one]);
    } else {
      this.#waiting.done(batch[0]!);
      const outcome = error instanceof ForeignGroupError ? "foreign" : "overlapping";
      batch[0]!.trace?.fail(error);
      batch[0]!.trace?.end();
      this.#bury(batch[0]!.received, outcome, error.message);
    }
  }

  /** Whoever waits for the mark would do it later: that this fails loses nothing. */
  async #fold(batch: readonly Waiting[]): Promise<void> {
    const { groups, log } = this.parts;
    for (const source of new Set(batch.map(({ group }) => group.source))) {
      try {
        await groups.fold(source);
      } catch (error) {
        if (error instanceof GroupsOverlapError) {
          this.#misplaced.overlaps(error);
        } else log.debug("A mark was not moved; the next group of its source moves it", { error });
      }
    }
  }

  #report(batch: readonly Waiting[], { rows, dead }: Applied): void {
    const { metrics } = this.parts;
    metrics.batchRows.observe(rowsOf(batch));
    metrics.flushRows.inc({ outcome: "ok" }, rows);
    if (dead.length === 0) return;
    metrics.flushRows.inc({ outcome: "dead" }, dead.length);
    const { source } = dead[0]!;
    this.#refusedRows.note(dead, (seq) => ({ source, seq }));
  }

  #failed(error: unknown, asked: number): void {
    const { metrics } = this.parts;
    // A store too slow for so many rows within its deadline must not be asked for the same again for
    // ever; a group is never cut.
    if (!(error instanceof StoreRefusesError || error instanceof StoreNotAskedError)) {
      this.#maxRows = Math.max(1, Math.floor(Math.min(asked, this.#maxRows) / 2));
    }
    metrics.flushRetries.inc();
    metrics.flushRows.inc({ outcome: "failed" }, asked);
    this.#failure = reasonOf(error);
    this.#refusal = error instanceof StoreRefusesError ? this.#failure : undefined;
    this.#retryMs = this.#backoff.nextMs();
    this.#outage.failed(error, { waiting: this.#waiting.rows });
  }

  #bury(
    received: Received,
    outcome: BuriedOutcome,
    reason: string,
  ): void {
    this.parts.metrics.receivedMessages.inc({ outcome });
    this.#misplaced.buried[outcome](reason);
    received.bury(reason);
  }
}
