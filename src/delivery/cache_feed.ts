/**
 * Brings durable entries to the cache as they come, so that other instances see them before the
 * store has them. Nothing depends on it: until its flush an entry is pending here, and the flush
 * updates the cache itself, so what finds no room is left to that.
 */
import type { CacheClient } from "../reading/cache_client.ts";
import type { Entry } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf } from "../packed.ts";
import type { Batch } from "../ports/source.ts";

export class CacheFeed {
  #waiting: Entry[] = [];
  /** It counts entries that are under way, too, as they are in memory as well. */
  #bytes = 0;
  #sending: Promise<void> | undefined;

  constructor(
    private readonly cache: Pick<CacheClient, "offer">,
    private readonly maxBytes: number = MEMORY_BUDGET.cacheUpdates.bytes,
  ) {}

  /** Takes entries that became durable. What waits goes out together, one call at a time. */
  offer(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const bytes = bytesOf(entry);
      if (this.#bytes + bytes > this.maxBytes) continue;
      this.#bytes += bytes;
      this.#waiting.push(entry);
    }
    if (this.#waiting.length > 0) this.#sending ??= this.#send();
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
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0) {
      const entries = this.#waiting;
      this.#waiting = [];
      await this.cache.offer(entries);
      for (const entry of entries) this.#bytes -= bytesOf(entry);
    }
    this.#sending = undefined;
  }
}
