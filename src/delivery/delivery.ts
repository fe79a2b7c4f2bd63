/**
 * One step of the flush path: take → store.put → cache.update → ack. What was taken stays in hand
 * until all of that is done, however often it fails: nothing is dropped, nothing overtakes.
 */
import type { CacheClient } from "../reading/cache_client.ts";
import { ConfirmedMarks, type WentBack } from "./confirmed_marks.ts";
import { type Entry, writeId } from "../domain.ts";
import { StoreNotAskedError, StoreRefusesError, StoreWentBackError } from "../errors.ts";
import type { Pending } from "../intake/pending.ts";
import type { Queue } from "../ports/queue.ts";
import type { Batch } from "../ports/source.ts";
import type { PutResult, Store } from "../ports/store.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

export interface DeliveryParts {
  readonly queue: Queue;
  readonly store: Store;
  readonly cache: CacheClient;
  readonly pending: Pending;
  readonly metrics: Metrics;
  readonly log: Log;
}

/**
 * What a step settled: the store has every entry of the batch, but for those that are dead letters.
 */
export interface Settled {
  readonly lastSeq: number;
  readonly dead: ReadonlySet<number>;
}

interface Hand {
  batch: Batch;
  /** Index of the first entry that is not dealt with. */
  next: number;
  /** Entries that this run knows to be in the store. */
  stored: Entry[];
  readonly dead: Set<number>;
}

/** Of values, in UTF-16 units, in a hand to which more is added. */
const HAND_UNITS_MAX = 8 * 1024 * 1024;

export class Delivery {
  #hand: Hand | undefined;
  /** Taken as a neighbour, and of another source than what is in hand. */
  #next: Batch | undefined;
  #openedSource: string | undefined;
  /** Rows in one transaction: halved by each failure, doubled by each success. */
  #sliceRows: number;
  /** The highest number that this run has sent to the store. */
  #triedSeq = 0;
  #settledBeforeChecked = false;
  #refusal: string | undefined;
  readonly #marks = new ConfirmedMarks((loss) => this.#reportWentBack(loss));

  /** @param maxRows of one transaction */
  constructor(private readonly maxRows: number, private readonly parts: DeliveryParts) {
    this.#sliceRows = maxRows;
  }

  /** Rows in hand that the store does not have yet, for all that is known. */
  get rowsInHand(): number {
    return this.#hand?.batch.entries.length ?? 0;
  }

  /**
   * Why the store takes no row at all, though it answers; undefined while it does. Only a person
   * can change that.
   */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /**
   * Brings the next batch where it belongs; undefined when there is none.
   * @throws whatever queue, store or cache say; the batch stays in hand for the next call
   */
  async step(): Promise<Settled | undefined> {
    const { queue, pending } = this.parts;
    try {
      const hand = this.#hand ??= await this.#take();
      if (hand === undefined) return undefined;
      if (this.#refusal !== undefined) await this.#takeNeighbours(hand);
      await this.#store(hand);
      await this.#updateCache(hand);
      const { batch, dead } = hand;
      // Acknowledged before it is forgotten: who finds it no longer pending must find it in the
      // store.
      await queue.ack(batch);
      pending.settle(batch.entries, batch.lastSeq);
      this.#marks.forgetOthers(batch.source);
      this.#hand = undefined;
      this.#refusal = undefined;
      return { lastSeq: batch.lastSeq, dead };
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  async #take(): Promise<Hand | undefined> {
    const batch = this.#next ?? await this.parts.queue.take(this.maxRows);
    this.#next = undefined;
    return batch && { batch, next: 0, stored: [], dead: new Set() };
  }

  /**
   * Rows that are all refused say nothing about others: whether one goes in decides if these are at
   * fault, or the table.
   */
  async #takeNeighbours(hand: Hand): Promise<void> {
    const { entries } = hand.batch;
    const room = entries.reduce((units, { value }) => units + value.length, 0) < HAND_UNITS_MAX
      ? this.maxRows - entries.length
      : 0;
    const more = room > 0 && this.#next === undefined
      ? await this.parts.queue.take(room)
      : undefined;
    if (more === undefined) return;
    if (more.source !== hand.batch.source) this.#next = more;
    else {hand.batch = {
        ...hand.batch,
        entries: [...hand.batch.entries, ...more.entries],
        lastSeq: more.lastSeq,
      };}
  }

  async #store(hand: Hand): Promise<void> {
    const { source, entries } = hand.batch;
    if (this.#openedSource !== source) await this.#open(hand);
    let reopened = false;
    while (hand.next < entries.length) {
      const slice = entries.slice(hand.next, hand.next + this.#sliceRows);
      try {
        this.#landed(hand, slice, await this.#put(source, slice));
      } catch (error) {
        // Once a step: behind a way that leads to two databases by turns it would go on for ever.
        if (!(error instanceof StoreWentBackError) || reopened) throw error;
        reopened = true;
        // Asked anew, as what is still in hand can be stored again.
        await this.#open(hand);
      }
    }
  }

  async #put(source: string, slice: readonly Entry[]): Promise<PutResult> {
    this.#triedSeq = Math.max(this.#triedSeq, slice.at(-1)!.seq);
    const startedMs = performance.now();
    const result = await this.parts.store.put(source, slice, this.#marks.of(source));
    this.parts.metrics.flushDuration.observe((performance.now() - startedMs) / 1000);
    return result;
  }

  /**
   * Replayed after a crash and already stored: what an earlier run got as far as the mark needs no
   * transaction.
   */
  async #open(hand: Hand): Promise<void> {
    const { source, entries } = hand.batch;
    await this.#checkSettledBefore();
    const mark = await this.parts.store.open(source);
    if (!this.#marks.agrees(source, mark)) this.#rewind(hand, mark);
    const first = entries.findIndex(({ seq }) => seq > mark || seq <= this.#triedSeq);
    hand.next = Math.max(hand.next, first === -1 ? entries.length : first);
    this.#openedSource = source;
  }

  /**
   * The last run was told by the store how far it is: it may have gone back while nobody was here.
   */
  async #checkSettledBefore(): Promise<void> {
    const { queue, store } = this.parts;
    if (this.#settledBeforeChecked) return;
    const before = queue.settledBefore;
    if (before !== undefined) {
      this.#marks.confirm(before.source, before.seq);
      this.#marks.agrees(before.source, await store.open(before.source));
    }
    this.#settledBeforeChecked = true;
  }

  #landed(hand: Hand, slice: readonly Entry[], { rows, dead }: PutResult): void {
    const { metrics } = this.parts;
    metrics.batchRows.observe(slice.length);
    metrics.flushRows.inc({ outcome: "ok" }, rows);
    this.#refusal = undefined;
    this.#sliceRows = Math.min(this.maxRows, this.#sliceRows * 2);
    this.#marks.confirm(hand.batch.source, slice.at(-1)!.seq);
    for (const { seq } of dead) hand.dead.add(seq);
    hand.stored.push(...slice.filter(({ seq }) => !hand.dead.has(seq)));
    hand.next += slice.length;
    if (dead.length > 0) this.#reportDead(slice, dead);
  }

  /**
   * What the store had confirmed and has no longer is to be stored again, as far as it is still in
   * hand.
   */
  #rewind(hand: Hand, mark: number): void {
    hand.stored = hand.stored.filter(({ seq }) => seq <= mark);
    for (const seq of hand.dead) if (seq > mark) hand.dead.delete(seq);
    const first = hand.batch.entries.findIndex(({ seq }) => seq > mark);
    if (first !== -1) hand.next = Math.min(hand.next, first);
  }

  /**
   * What a run before this one sent may have been refused: the cache forgets those users instead of
   * learning their values. First, so that a user of both kinds is not left empty, for an older
   * entry that a reader is about to fill in.
   */
  async #updateCache({ batch, stored }: Hand): Promise<void> {
    const { cache } = this.parts;
    if (stored.length < batch.entries.length) {
      const known = new Set(stored.map(({ seq }) => seq));
      await cache.forget(batch.entries.filter(({ seq }) => !known.has(seq)));
    }
    await cache.update(stored);
  }

  #failed(error: unknown): void {
    const { metrics } = this.parts;
    if (error instanceof StoreRefusesError) {
      this.#refusal = error.message;
      // Few rows that are refused are no proof against the table.
      this.#sliceRows = this.maxRows;
    } else if (!(error instanceof StoreNotAskedError)) {
      // A store too slow for so many rows within its deadline must not be asked for the same again
      // for ever.
      const asked = Math.min(this.#sliceRows, this.rowsInHand || Infinity);
      this.#sliceRows = Math.max(1, Math.floor(asked / 2));
    }
    // The store may have come back as another one: ask for the mark again before the next put.
    this.#openedSource = undefined;
    metrics.flushRetries.inc();
    metrics.flushRows.inc({ outcome: "failed" }, this.rowsInHand);
  }

  #reportDead(slice: readonly Entry[], dead: PutResult["dead"]): void {
    const { metrics, log } = this.parts;
    metrics.flushRows.inc({ outcome: "dead" }, dead.length);
    const [{ seq, code, message: reason }] = dead as [PutResult["dead"][number]];
    const first = slice.find((entry) => entry.seq === seq);
    log.error("The store refuses rows: they are among the dead letters", {
      rows: dead.length,
      of: slice.length,
      writeId: first && writeId(first),
      code,
      reason,
    });
  }

  #reportWentBack({ source, confirmedSeq, foundSeq }: WentBack): void {
    const { metrics, log } = this.parts;
    metrics.storeWentBack.inc();
    metrics.storeWentBackWrites.inc(confirmedSeq - foundSeq);
    log.error(
      "The database went back: writes that it had confirmed are no longer in it. An older backup was restored, a replica that was " +
        "behind took over, or it was made anew. They are in the former database or a newer backup, and nowhere else",
      {
        source,
        firstLostSeq: foundSeq + 1,
        lastLostSeq: confirmedSeq,
        writes: confirmedSeq - foundSeq,
      },
    );
  }
}
