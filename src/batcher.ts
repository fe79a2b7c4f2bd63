/**
 * The flush path: on a timer, or as soon as a batch is full, take → store.put → cache.update → ack. One flush at a time, in
 * order. A batch that fails stays in hand and is tried again until the store has it: nothing is dropped, nothing overtakes.
 */
import { BreakerOpenError } from "./breaker.ts";
import type { CacheClient } from "./cache_client.ts";
import { type Entry, writeId } from "./domain.ts";
import { RejectedRowError } from "./errors.ts";
import type { Pending } from "./pending.ts";
import type { Batch, Clock, Queue, Store } from "./ports.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

export interface BatcherOptions {
  /** A flush starts as soon as this many rows wait … */
  readonly size: number;
  /** … and at least this often, in milliseconds. */
  readonly intervalMs: number;
  /** Rows in one flush at most, when there is a backlog. */
  readonly max: number;
}

export interface BatcherParts {
  readonly queue: Queue;
  readonly store: Store;
  readonly cache: CacheClient;
  readonly pending: Pending;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** In [0, 1): spreads the retries of many instances. */
  readonly random: () => number;
}

interface FlushWaiter {
  readonly seq: number;
  readonly resolve: (flushed: boolean) => void;
}

const RETRY_BASE_MS = 100;
const RETRY_CAP_MS = 5_000;

export class Batcher {
  #inHand: Batch | undefined;
  #openedSource: string | undefined;
  #mark = 0;
  /** Rows in one transaction: halved by each failure, doubled by each success. */
  #sliceRows: number;
  /** Numbers of the batch in hand that went to the dead letters, or may have. */
  readonly #buried = new Set<number>();
  /** The highest number that this run has sent to the store. */
  #triedSeq = 0;
  #failures = 0;
  #working: Promise<void> | undefined;
  #stopTicking: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;
  #stopped = false;
  readonly #waiters = new Set<FlushWaiter>();

  constructor(private readonly options: BatcherOptions, private readonly parts: BatcherParts) {
    this.#sliceRows = options.max;
  }

  start(): void {
    this.#stopTicking = this.parts.clock.setInterval(() => this.#flushAll(), this.options.intervalMs);
    this.notify();
  }

  /** Something became durable: flush if a batch is full. */
  notify(): void {
    if (this.#stopTicking !== undefined && this.#backlogFillsABatch()) this.#flushAll();
  }

  /** Resolves true once the store has entry `seq`; false when it refuses it, after `timeoutMs`, or when the batcher stops. */
  whenFlushed(seq: number, timeoutMs: number): Promise<boolean> {
    if (this.parts.queue.stats().ackedSeq >= seq) return Promise.resolve(true);
    if (this.#stopped) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancelTimer = this.parts.clock.setTimeout(() => waiter.resolve(false), timeoutMs);
      const waiter: FlushWaiter = {
        seq,
        resolve: (flushed) => {
          cancelTimer();
          this.#waiters.delete(waiter);
          resolve(flushed);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  /** Flushes all there is until `signal` fires. False when the store refused: what is left stays in the queue. */
  async drain(signal: AbortSignal): Promise<boolean> {
    this.#stopTicking?.();
    this.#stopTicking = undefined;
    this.#cancelRetry?.();
    await this.#working;
    while (!signal.aborted && this.parts.queue.stats().depth > 0) {
      if (!(await this.#flushOnce())) return this.#inHand === undefined;
    }
    return true;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopTicking?.();
    this.#stopTicking = undefined;
    this.#cancelRetry?.();
    await this.#working;
    for (const waiter of [...this.#waiters]) waiter.resolve(false);
  }

  #backlogFillsABatch(): boolean {
    return this.parts.queue.stats().depth >= this.options.size;
  }

  #flushAll(): void {
    if (this.#working !== undefined || this.#cancelRetry !== undefined || this.#stopped) return;
    this.#working = this.#flushWhileFull().finally(() => this.#working = undefined);
  }

  async #flushWhileFull(): Promise<void> {
    do {
      if (!(await this.#flushOnce())) return this.#retryLater();
    } while (this.#backlogFillsABatch() && this.#stopTicking !== undefined);
  }

  /** One batch from hand or queue into the store. False when it failed and stays in hand, or when none could be taken. */
  async #flushOnce(): Promise<boolean> {
    const { queue, log } = this.parts;
    try {
      this.#inHand ??= await queue.take(this.options.max);
      if (this.#inHand === undefined) return this.#nothingToTake();
      await this.#put(this.#inHand);
    } catch (error) {
      this.#failed(error);
      return false;
    }
    if (this.#failures > 0) log.info("The store takes writes again", { failures: this.#failures });
    this.#failures = 0;
    return true;
  }

  /** Entries that wait but are not durable yet announce themselves by {@link notify}. */
  #nothingToTake(): boolean {
    this.#failures = 0;
    return false;
  }

  async #put(batch: Batch): Promise<void> {
    const { queue, store, pending, metrics } = this.parts;
    if (this.#openedSource !== batch.source) {
      this.#mark = await store.open(batch.source);
      this.#openedSource = batch.source;
    }
    // Replayed after a crash and already stored: what is at or below the mark needs no transaction.
    for (let rest = this.#unstored(batch); rest.length > 0; rest = this.#unstored(batch)) {
      const slice = rest.slice(0, this.#sliceRows);
      const startedMs = performance.now();
      const rows = await this.#putOrBury(batch.source, slice);
      if (rows === undefined) continue;
      metrics.flushDuration.observe((performance.now() - startedMs) / 1000);
      metrics.batchRows.observe(slice.length);
      metrics.flushRows.inc({ outcome: "ok" }, rows);
      this.#mark = slice.at(-1)!.seq;
      this.#sliceRows = Math.min(this.options.max, this.#sliceRows * 2);
    }
    await this.#updateCache(batch);
    // Acknowledged before it is forgotten: who finds it no longer pending must find it in the store.
    await queue.ack(batch);
    pending.settle(batch.entries, batch.lastSeq);
    this.#inHand = undefined;
    for (const waiter of [...this.#waiters]) {
      if (waiter.seq <= batch.lastSeq) waiter.resolve(!this.#buried.has(waiter.seq));
    }
    this.#buried.clear();
  }

  /**
   * Rows inserted; undefined when the store refuses one of them: then the next try has half as many, down to the one at fault,
   * which goes to the dead letters. Its neighbours are stored without waiting.
   */
  async #putOrBury(source: string, slice: readonly Entry[]): Promise<number | undefined> {
    const { store, metrics, log } = this.parts;
    this.#triedSeq = Math.max(this.#triedSeq, slice.at(-1)!.seq);
    try {
      const rows = await store.put(source, slice);
      for (const { seq } of slice) this.#buried.delete(seq);
      return rows;
    } catch (error) {
      if (!(error instanceof RejectedRowError)) throw error;
      this.#sliceRows = Math.max(1, Math.floor(slice.length / 2));
      const [refused, ...others] = slice;
      if (refused === undefined || others.length > 0) return undefined;
      const { code, message } = error;
      // Noted before, as the answer may be lost.
      this.#buried.add(refused.seq);
      await store.bury(source, refused, { code, message });
      metrics.flushRows.inc({ outcome: "dead" }, 1);
      log.error("The store refuses a row: it is among the dead letters", {
        writeId: writeId(refused),
        code,
        reason: message,
      });
      return 0;
    }
  }

  /** What a run before this one sent may have been refused: the cache forgets those users instead of learning their values. */
  async #updateCache({ entries }: Batch): Promise<void> {
    const { cache } = this.parts;
    const isStored = ({ seq }: Entry) => seq <= this.#triedSeq && !this.#buried.has(seq);
    await cache.update(entries.filter(isStored));
    await Promise.all(entries.filter((entry) => !isStored(entry)).map(({ userId }) => cache.forget(userId)));
  }

  #unstored(batch: Batch): readonly Entry[] {
    return this.#mark >= batch.lastSeq ? [] : batch.entries.filter(({ seq }) => seq > this.#mark);
  }

  #failed(error: unknown): void {
    const { metrics, log } = this.parts;
    // A store too slow for so many rows within its deadline must not be asked for the same again for ever.
    if (!(error instanceof BreakerOpenError)) {
      this.#sliceRows = Math.max(
        1,
        Math.floor(Math.min(this.#sliceRows, this.#inHand?.entries.length ?? Infinity) / 2),
      );
    }
    // The store may have come back as another one: ask for the mark again before the next put.
    this.#openedSource = undefined;
    this.#failures++;
    metrics.flushRetries.inc();
    metrics.flushRows.inc({ outcome: "failed" }, this.#inHand?.entries.length ?? 0);
    log.warn("A flush failed; its rows stay in the journal and are tried again", {
      rows: this.#inHand?.entries.length,
      attempt: this.#failures,
      error,
    });
  }

  /** Full jitter: anywhere between now and the exponential bound, so that many instances do not come back in step. */
  #retryLater(): void {
    if (this.#stopped || this.#stopTicking === undefined || this.#inHand === undefined) return;
    const boundMs = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(this.#failures, 20));
    const cancel = this.parts.clock.setTimeout(() => {
      this.#cancelRetry = undefined;
      this.#flushAll();
    }, this.parts.random() * boundMs);
    this.#cancelRetry = () => {
      cancel();
      this.#cancelRetry = undefined;
    };
  }
}
