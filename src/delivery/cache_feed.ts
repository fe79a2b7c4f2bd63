/**
 * Brings durable entries to the cache as they come, so that other instances see them before the
 * store has them. Nothing depends on it: until its flush an entry is pending here, and the flush
 * updates the cache itself, so what finds no room is left to that.
 */
import type { CacheClient } from "../reading/cache_client.ts";
import { type Entry, newestOfEach } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf } from "../packed.ts";
import type { Clock } from "../ports/clock.ts";
import type { Batch } from "../ports/source.ts";

/**
 * After a call the next one waits so long: under load most of what comes meanwhile is flushed by
 * then, and the flush brings it; of the others each user's newest goes out once. Other instances
 * may see a write a second late, and see it after this pause and a call's deadline.
 */
const PAUSE_MS = 400;
/**
 * A call that failed is made again after this instead: the connection that it was lost with is
 * there again by then.
 */
const AGAIN_MS = 80;
/** After so many in a row the cache is away, and is left in peace. */
const AT_ONCE_AGAIN = 3;

export class CacheFeed {
  #waiting: Entry[] = [];
  /** Of one run, all up to a number was left to flushes. */
  #left = { run: "", seq: 0 };
  #failures = 0;
  #isStopped = false;
  /** It counts entries that are under way, too, as they are in memory as well. */
  #bytes = 0;
  #sending: Promise<void> | undefined;
  #endPause: (() => void) | undefined;

  constructor(
    private readonly cache: Pick<CacheClient, "offer">,
    private readonly clock: Pick<Clock, "setTimeout">,
    private readonly maxBytes: number = MEMORY_BUDGET.cacheUpdates.bytes,
  ) {}

  /**
   * Takes entries that became durable. They go out at once where none have for a while, else
   * together with all that comes before the next call.
   */
  offer(entries: readonly Entry[]): void {
    if (this.#isStopped) return;
    for (const entry of entries) {
      const bytes = bytesOf(entry);
      if (this.#bytes + bytes > this.maxBytes) continue;
      this.#bytes += bytes;
      this.#waiting.push(entry);
    }
    if (this.#endPause === undefined) this.#sendWhatWaits();
  }

  /**
   * Leaves a batch to its flush, which is about to tell the cache of it, and of some entries that
   * the store refused them: none of it must come after that.
   */
  leaveTo({ entries, lastSeq }: Batch): void {
    this.#left = { run: entries[0]!.run, seq: lastSeq };
    this.#waiting = this.#withoutLeft(this.#waiting);
  }

  /** Drops what waits, and takes nothing more; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#sending;
    this.#endPause?.();
    this.#endPause = undefined;
    for (const entry of this.#waiting.splice(0)) this.#bytes -= bytesOf(entry);
  }

  #sendWhatWaits(): void {
    if (this.#waiting.length > 0) this.#sending ??= this.#send();
  }

  async #send(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    const isTaken = await this.cache.offer(entries);
    this.#failures = isTaken ? 0 : this.#failures + 1;
    if (isTaken) { for (const entry of entries) this.#bytes -= bytesOf(entry); }
    else this.#waiting = this.#newest([...this.#withoutLeft(entries), ...this.#waiting]);
    this.#sending = undefined;
    if (this.#isStopped) return;
    const isAgain = this.#failures > 0 && this.#failures <= AT_ONCE_AGAIN;
    this.#endPause = this.clock.setTimeout(() => {
      this.#endPause = undefined;
      this.#sendWhatWaits();
    }, isAgain ? AGAIN_MS : PAUSE_MS);
  }

  /** What may be offered many times is offered once for each user. */
  #newest(entries: readonly Entry[]): Entry[] {
    const newest = new Set(newestOfEach(entries));
    for (const entry of entries) if (!newest.has(entry)) this.#bytes -= bytesOf(entry);
    return [...newest];
  }

  #isLeft({ run, seq }: Entry): boolean {
    return run === this.#left.run && seq <= this.#left.seq;
  }

  #withoutLeft(entries: readonly Entry[]): Entry[] {
    const kept: Entry[] = [];
    for (const entry of entries) {
      if (this.#isLeft(entry)) this.#bytes -= bytesOf(entry);
      else kept.push(entry);
    }
    return kept;
  }
}
