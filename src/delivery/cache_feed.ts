/**
 * Brings durable entries to the cache as they come, so that other instances see them before the
 * store has them. Nothing depends on it: until its flush an entry is pending here, and the flush
 * updates the cache itself, so what finds no room is left to that.
 */
import type { CacheClient } from "../reading/cache_client.ts";
import type { Entry } from "../domain.ts";
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

export class CacheFeed {
  #waiting: Entry[] = [];
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
    const { run } = entries[0]!;
    const isLeft = (entry: Entry) => entry.run === run && entry.seq <= lastSeq;
    if (this.#waiting.length === 0 || !isLeft(this.#waiting[0]!)) return;
    const kept: Entry[] = [];
    for (const entry of this.#waiting) {
      if (isLeft(entry)) this.#bytes -= bytesOf(entry);
      else kept.push(entry);
    }
    this.#waiting = kept;
  }

  /** Drops what waits; resolves when nothing is under way. */
  async stop(): Promise<void> {
    for (const entry of this.#waiting.splice(0)) this.#bytes -= bytesOf(entry);
    await this.#sending;
    this.#endPause?.();
    this.#endPause = undefined;
  }

  #sendWhatWaits(): void {
    if (this.#waiting.length > 0) this.#sending ??= this.#send();
  }

  async #send(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    await this.cache.offer(entries);
    for (const entry of entries) this.#bytes -= bytesOf(entry);
    this.#sending = undefined;
    this.#endPause = this.clock.setTimeout(() => {
      this.#endPause = undefined;
      this.#sendWhatWaits();
    }, PAUSE_MS);
  }
}
