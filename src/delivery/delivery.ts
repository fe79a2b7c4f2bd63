/**
 * Carries out one step of delivery: take, sink, cache, settled. What was taken stays in hand until
 * all of that is done, however often it fails: nothing is dropped, nothing overtakes. Of a backlog
 * the sink has the next batch while the cache is told of this one, and it is settled.
 */
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf } from "../packed.ts";
import type { CacheClient } from "../reading/cache_client.ts";
import type { Clock } from "../ports/clock.ts";
import type { Delivered, Sink } from "../ports/sink.ts";
import type { Batch, Source } from "../ports/source.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { toldAfter, type Tracing } from "../telemetry/tracing.ts";
import type { CacheFeed } from "./cache_feed.ts";
import { SentAhead } from "./sent_ahead.ts";
import { reportWentBack } from "./went_back.ts";

interface DeliveryParts {
  readonly source: Source;
  readonly sink: Sink;
  readonly cache: Pick<CacheClient, "update" | "forget" | "outdateAll">;
  readonly feed: Pick<CacheFeed, "leaveTo">;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout" | "turn">;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing?: Pick<Tracing, "flushOf">;
  /** It is told of each batch, or one piece after the other, once its source has let go of it. */
  readonly onSettled: (settlement: Settlement) => void;
}

/**
 * It says that the sink has every entry of the batch. One that is neither among `stored` nor `dead`
 * was brought there by an earlier run, and nobody here knows which of the two became of it.
 */
export interface Settlement extends Batch, Delivered {}

/** A hand to which more is added has less than a second batch of the largest size. */
const HAND_BYTES_MAX = 2 * MEMORY_BUDGET.batch.bytes;
/** To let go of so many takes less than a millisecond. */
const PIECE_ROWS = 500;
/**
 * A store that went back while nothing is delivered shows by nothing but its marks. They are asked
 * for this often then: so long a read may find what is older than what was settled, and one look-up
 * in so long is nothing to a store that has no other work.
 */
const IDLE_MARKS_MS = 5_000;

export class Delivery {
  #hand: Batch | undefined;
  /** It was taken while another one was in hand, and comes after that. */
  #next: Batch | undefined;
  /** It is `#next`, if it is there. */
  readonly #ahead: SentAhead;
  /** Each source is settled so far, as far as it can be sent again. */
  readonly #settled = new Map<string, number>();
  /** The store lost these sources through these numbers, some of which nobody can send again. */
  readonly #lostThrough = new Map<string, number>();
  /** It is true when the source gives what follows the last that was taken. */
  #isOpen = false;
  /** It is true when the sink has been asked for its marks since it last failed. */
  #marksAreSure = false;
  #marksAskedMs = -Infinity;
  #isGivenUp = false;
  #isEnding = false;

  /**
   * Delivers nothing before the first {@link step}.
   * @param maxRows of one batch
   */
  constructor(private readonly maxRows: number, private readonly parts: DeliveryParts) {
    this.#ahead = new SentAhead(parts.sink, parts.clock);
  }

  /** So many entries in hand are not in the sink yet, for all that is known. */
  get rowsInHand(): number {
    return this.#hand?.entries.length ?? 0;
  }

  /** So many entries wait, those in hand among them. */
  get unsettled(): number {
    return this.parts.source.unsettled;
  }

  /** The sink has been given a batch whose turn has not come: the next step settles it. */
  get isAhead(): boolean {
    return this.#ahead.isThere;
  }

  /** It is as {@link Sink.refusal} says, and only a person can change that. */
  get refusal(): string | undefined {
    return this.parts.sink.refusal;
  }

  /**
   * Brings the next batch where it belongs; undefined when there is none.
   * @param sendsAhead the sink may have the batch after it at once
   * @throws whatever source, sink or cache say; the batch stays in hand for the next call
   */
  async step(sendsAhead = true): Promise<Settlement | undefined> {
    try {
      await this.#compareMarks();
      this.#hand ??= await this.#take();
      if (this.#hand === undefined) return this.#nothingToDo();
      if (this.refusal !== undefined) await this.#takeNeighbours(this.#hand);
      return await this.#bring(this.#hand, sendsAhead);
    } catch (error) {
      // It is brought there once more in its turn: that it may be there already does no harm.
      const dropped = await this.#ahead.drop();
      if (dropped !== undefined) this.parts.tracing?.flushOf(dropped)?.end();
      this.#failed();
      throw error;
    }
  }

  /** Reads and sends nothing ahead any more: the last steps are under way. */
  end(): void {
    this.#isEnding = true;
  }

  /** Settles what was sent ahead, where that can be, once no step is under way. */
  async finish(): Promise<void> {
    if (!this.#ahead.isThere) return;
    try {
      await this.step();
    } catch {
      // Whoever comes next brings it there again.
    }
  }

  /**
   * Gives up a step that is under way: it takes and settles nothing any more, whatever it comes to.
   */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  /**
   * It is the source, unless this gave up: somebody else may deliver by then, who takes from it,
   * and knows better what the sink has.
   */
  get #source(): Source {
    if (this.#isGivenUp) throw new Error("Delivery was stopped meanwhile");
    return this.parts.source;
  }

  async #bring(batch: Batch, sendsAhead: boolean): Promise<Settlement> {
    const delivered = await this.#toSink(batch);
    // Had the store gone back before the first batch of a source, nothing would have shown it.
    const isFirstOfSource = (this.#settled.get(batch.source) ?? 0) === 0;
    if (sendsAhead && !isFirstOfSource) await this.#sendNext();
    await this.#settle(batch, delivered);
    if (isFirstOfSource) this.#marksAreSure = false;
    const settlement = { ...batch, ...delivered };
    await this.#tell(settlement);
    return settlement;
  }

  /**
   * Tells of a large batch in pieces, between which others have their turn; of one that has dead
   * letters, or was brought there in several transactions, at once.
   */
  async #tell(settlement: Settlement): Promise<void> {
    const { onSettled, clock } = this.parts;
    const { entries, stored } = settlement;
    if (stored !== entries) return onSettled(settlement);
    for (let from = 0; from < entries.length; from += PIECE_ROWS) {
      if (from > 0) await clock.turn();
      const piece = entries.slice(from, from + PIECE_ROWS);
      onSettled({ ...settlement, entries: piece, stored: piece, lastSeq: piece.at(-1)!.seq });
    }
  }

  async #toSink(batch: Batch): Promise<Delivered> {
    const reading = this.#readAhead(batch);
    try {
      return await (this.#ahead.take() ?? this.parts.sink.deliver(batch));
    } finally {
      await reading;
    }
  }

  /** From then on the other side works on it, while there is time for what is to be done here. */
  async #sendNext(): Promise<void> {
    if (this.#next === undefined || this.#isEnding || this.#isGivenUp) return;
    await this.#ahead.send(this.#next);
  }

  /**
   * Reads the next batch of a backlog while the sink is at work on this one. Only a whole one: what
   * is taken early is a smaller batch than what could be taken later.
   */
  async #readAhead({ entries }: Batch): Promise<void> {
    const waiting = this.unsettled - entries.length;
    if (this.#next !== undefined || this.#isEnding || waiting < this.maxRows) return;
    if (this.refusal !== undefined) return;
    try {
      this.#next = await this.#takeUpTo(this.maxRows);
    } catch {
      // It comes again with the next take, whose place has not changed.
    }
  }

  async #settle(batch: Batch, delivered: Delivered): Promise<void> {
    const flush = this.parts.tracing?.flushOf(delivered);
    this.parts.feed.leaveTo(batch);
    await toldAfter(flush, "update cache", this.#updateCache(batch, delivered));
    // This comes before intake lets go of it: who finds it no longer pending must find it in the
    // store.
    await this.#source.settle(batch);
    this.#settled.set(batch.source, batch.lastSeq);
    this.#hand = undefined;
  }

  async #take(): Promise<Batch | undefined> {
    const batch = this.#next ?? await this.#takeUpTo(this.maxRows);
    this.#next = undefined;
    return batch;
  }

  /** What is lost is said with each batch that follows, so that the store does not pass over it. */
  async #takeUpTo(rows: number): Promise<Batch | undefined> {
    const batch = await this.#source.take(rows);
    const lostThroughSeq = batch && this.#lostThrough.get(batch.source);
    return batch && lostThroughSeq !== undefined ? { ...batch, lostThroughSeq } : batch;
  }

  #nothingToDo(): undefined {
    const idleMs = this.parts.clock.monotonicMs() - this.#marksAskedMs;
    if (idleMs >= IDLE_MARKS_MS) this.#marksAreSure = false;
    return undefined;
  }

  /**
   * Takes further rows to those in hand when all of these are refused, which says nothing about
   * others: whether one goes in decides if these are at fault, or the table.
   */
  async #takeNeighbours(hand: Batch): Promise<void> {
    const bytes = hand.entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
    const room = bytes < HAND_BYTES_MAX ? this.maxRows - hand.entries.length : 0;
    if (room <= 0) return;
    const more = this.#next ?? await this.#takeUpTo(room);
    this.#next = undefined;
    if (more === undefined) return;
    if (more.source !== hand.source) this.#next = more;
    else {
      const entries = [...hand.entries, ...more.entries];
      this.#hand = { ...hand, entries, lastSeq: more.lastSeq };
    }
  }

  /**
   * Tells the cache what became of a batch. What a run before this one sent may have been refused:
   * the cache forgets those users instead of learning their values. That comes first, so that a
   * user of both kinds is not left empty, for an older entry that a reader is about to fill in.
   */
  async #updateCache({ entries }: Batch, { stored }: Delivered): Promise<void> {
    const { cache } = this.parts;
    if (stored.length < entries.length) {
      const known = new Set(stored.map(({ seq }) => seq));
      await cache.forget(entries.filter(({ seq }) => !known.has(seq)));
    }
    await cache.update(stored);
  }

  /**
   * Holds what is settled against what the store has. A mark never goes back by itself: where it
   * did, an older backup was restored, a replica that was behind took over, or the database was
   * made anew. What the source still has is sent again then, before all that comes after it.
   */
  async #compareMarks(): Promise<void> {
    if (this.#marksAreSure) return;
    if (!this.#isOpen) await this.#open();
    const sources = new Set(this.#settled.keys());
    // Of what was sent ahead, too, the sink has been told before how far it has it.
    for (const batch of [this.#hand, this.#next]) if (batch) sources.add(batch.source);
    const marks = sources.size === 0 ? new Map() : await this.parts.sink.marks(sources);
    const lost = [...this.#settled].filter(([source, seq]) => (marks.get(source) ?? 0) < seq);
    if (lost.length > 0) {
      await this.parts.cache.outdateAll();
      this.parts.metrics.storeWentBack.inc();
    }
    for (const [source, settledSeq] of lost) {
      await this.#rewind(source, settledSeq, marks.get(source) ?? 0);
    }
    if (!this.#isOpen) await this.#open();
    this.#marksAreSure = true;
    this.#marksAskedMs = this.parts.clock.monotonicMs();
  }

  async #open(): Promise<void> {
    this.#hand = this.#next = undefined;
    for (const [source, seq] of await this.#source.open()) this.#settled.set(source, seq);
    this.#isOpen = true;
  }

  async #rewind(source: string, settledSeq: number, mark: number): Promise<void> {
    const rewound = await this.#source.rewind(source, mark);
    this.#isOpen = false;
    this.#settled.set(source, mark);
    const { missingThrough } = rewound;
    if (missingThrough !== undefined) this.#lostThrough.set(source, missingThrough);
    reportWentBack(this.parts, { source, settledSeq, mark, rewound });
  }

  #failed(): void {
    const { metrics } = this.parts;
    this.#marksAreSure = false;
    if (this.#hand === undefined) return;
    metrics.flushRetries.inc();
    metrics.flushRows.inc({ outcome: "failed" }, this.rowsInHand);
  }
}
