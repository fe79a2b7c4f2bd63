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
import type { Batch, Rewound, Source } from "../ports/source.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { CacheFeed } from "./cache_feed.ts";

interface DeliveryParts {
  readonly source: Source;
  readonly sink: Sink;
  readonly cache: Pick<CacheClient, "update" | "forget" | "outdateAll">;
  readonly feed: Pick<CacheFeed, "leaveTo">;
  readonly clock: Pick<Clock, "monotonicMs" | "turn">;
  readonly metrics: Metrics;
  readonly log: Log;
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
  /**
   * The sink has been given `#next`, which is in hand with the next step: what comes of it counts
   * only then. Nothing else is asked of the sink before.
   */
  #ahead: Promise<Delivered> | undefined;
  /** Each source is settled so far, as far as it can be sent again. */
  readonly #settled = new Map<string, number>();
  /** It is true when the source gives what follows the last that was taken. */
  #isOpen = false;
  /** It is true when the sink has been asked for its marks since it last failed. */
  #marksAreSure = false;
  #marksAskedMs = -Infinity;
  #isGivenUp = false;

  /**
   * Delivers nothing before the first {@link step}.
   * @param maxRows of one batch
   */
  constructor(private readonly maxRows: number, private readonly parts: DeliveryParts) {}

  /** So many entries in hand are not in the sink yet, for all that is known. */
  get rowsInHand(): number {
    return this.#hand?.entries.length ?? 0;
  }

  /** So many entries wait, those in hand among them. */
  get unsettled(): number {
    return this.parts.source.unsettled;
  }

  /** It is as {@link Sink.refusal} says, and only a person can change that. */
  get refusal(): string | undefined {
    return this.parts.sink.refusal;
  }

  /**
   * Brings the next batch where it belongs; undefined when there is none.
   * @throws whatever source, sink or cache say; the batch stays in hand for the next call
   */
  async step(): Promise<Settlement | undefined> {
    try {
      await this.#compareMarks();
      this.#hand ??= await this.#take();
      if (this.#hand === undefined) return this.#nothingToDo();
      if (this.refusal !== undefined) await this.#takeNeighbours(this.#hand);
      return await this.#bring(this.#hand);
    } catch (error) {
      await this.rest();
      this.#failed();
      throw error;
    }
  }

  /**
   * Resolves when the sink is at work on nothing any more. What it has got ahead of its turn is
   * brought there once more by the next step: that it is there already does no harm.
   */
  async rest(): Promise<void> {
    await this.#ahead?.catch(() => {});
    this.#ahead = undefined;
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

  async #bring(batch: Batch): Promise<Settlement> {
    const delivered = await this.#toSink(batch);
    // Had the store gone back before the first batch of a source, nothing would have shown it.
    const isFirstOfSource = (this.#settled.get(batch.source) ?? 0) === 0;
    if (!isFirstOfSource) await this.#sendAhead();
    await this.#settle(batch, delivered);
    if (isFirstOfSource) this.#marksAreSure = false;
    const settlement = { ...batch, ...delivered };
    await this.#tell(settlement);
    return settlement;
  }

  /** Tells of a large batch in pieces, between which others have their turn. */
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
      return await (this.#ahead ?? this.parts.sink.deliver(batch));
    } finally {
      this.#ahead = undefined;
      await reading;
    }
  }

  /**
   * Gives the sink what is next, and resolves when it is on its way: the other side works on it from
   * then on, while there is time for what is to be done here.
   */
  async #sendAhead(): Promise<void> {
    if (this.#next === undefined) return;
    const sent = Promise.withResolvers<void>();
    this.#ahead = this.parts.sink.deliver(this.#next, sent.resolve);
    // The next step is told of what it comes to.
    await Promise.race([sent.promise, this.#ahead.catch(() => {})]);
  }

  /**
   * Reads the next batch of a backlog while the sink is at work on this one. Only a whole one: what
   * is taken early is a smaller batch than what could be taken later.
   */
  async #readAhead({ entries }: Batch): Promise<void> {
    const waiting = this.unsettled - entries.length;
    if (this.#next !== undefined || this.refusal !== undefined || waiting < this.maxRows) return;
    try {
      this.#next = await this.#source.take(this.maxRows);
    } catch {
      // It comes again with the next take, whose place has not changed.
    }
  }

  async #settle(batch: Batch, delivered: Delivered): Promise<void> {
    this.parts.feed.leaveTo(batch);
    await this.#updateCache(batch, delivered);
    // This comes before intake lets go of it: who finds it no longer pending must find it in the
    // store.
    await this.#source.settle(batch);
    this.#settled.set(batch.source, batch.lastSeq);
    this.#hand = undefined;
  }

  async #take(): Promise<Batch | undefined> {
    const batch = this.#next ?? await this.#source.take(this.maxRows);
    this.#next = undefined;
    return batch;
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
    const more = this.#next ?? await this.#source.take(room);
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
    if (this.#hand !== undefined) sources.add(this.#hand.source);
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
    this.#reportWentBack(source, settledSeq, mark, rewound);
  }

  #failed(): void {
    const { metrics } = this.parts;
    this.#marksAreSure = false;
    if (this.#hand === undefined) return;
    metrics.flushRetries.inc();
    metrics.flushRows.inc({ outcome: "failed" }, this.rowsInHand);
  }

  #reportWentBack(source: string, settledSeq: number, mark: number, rewound: Rewound): void {
    const { metrics, log } = this.parts;
    metrics.storeWentBackWrites.inc(settledSeq - mark);
    const isGone = rewound.missingThrough !== undefined;
    log.error(
      "The database went back: writes that it had confirmed are no longer in it. An older backup " +
        "was restored, a replica that was behind took over, or it was made anew. " +
        (isGone
          ? "What the journal still has is sent again; the others are in the former database or " +
            "a newer backup, and nowhere else"
          : rewound.entries === settledSeq - mark
          ? "The journal still has all of them, and sends them again"
          : "The journal sends again what it has of them: the other numbers were withdrawn, or " +
            "belong to a former store"),
      {
        source,
        firstLostSeq: mark + 1,
        lastLostSeq: settledSeq,
        writes: settledSeq - mark,
        sentAgain: rewound.entries,
        ...(isGone && { goneThroughSeq: rewound.missingThrough }),
      },
    );
  }
}
