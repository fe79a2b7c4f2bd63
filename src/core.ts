/**
 * The queue and the three paths around it, wired: what the application puts on the network, and the
 * simulation puts to the test.
 */
import { Batcher, type BatcherOptions } from "./delivery/batcher.ts";
import type { CacheClient } from "./reading/cache_client.ts";
import { openQueue, type QueueOptions } from "./journal/as_queue.ts";
import { Pending } from "./intake/pending.ts";
import type { Clock } from "./ports/clock.ts";
import type { Queue } from "./ports/queue.ts";
import type { Store } from "./ports/store.ts";
import { Reader } from "./reading/reader.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { Writer } from "./intake/writer.ts";

export interface CoreParts {
  readonly journal: QueueOptions;
  readonly batch: BatcherOptions;
  readonly store: Store;
  readonly cache: CacheClient;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** In [0, 1). */
  readonly random: () => number;
  /** The store, which answers, refused a look-up. */
  readonly onLookUpRefused?: () => void;
  /** Values of pending entries in memory; more are read from the journal. */
  readonly pendingBytes?: number;
}

export interface Core {
  readonly queue: Queue;
  readonly writer: Writer;
  readonly reader: Reader;
  readonly batcher: Batcher;
}

/**
 * Opens the journal; what it recovers is readable, and flushed once the batcher is started.
 * @throws AppError `journal-failed`
 */
export async function openCore(parts: CoreParts): Promise<Core> {
  const { journal, batch, store, cache, clock, metrics, log, random, pendingBytes } = parts;
  const pending = new Pending((seq) => queue.read(seq), pendingBytes);
  const queue = await openQueue({
    ...journal,
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
    onRecovered: (entry) => {
      pending.addDurable(entry);
      journal.onRecovered?.(entry);
    },
  });
  if (!queue.cacheWasCurrent) cache.distrustAll();
  const batcher = new Batcher(batch, { queue, pending, store, cache, metrics, log, clock, random });
  const writer = new Writer(queue, pending, cache, batcher, log);
  return {
    queue,
    batcher,
    writer,
    reader: new Reader(pending, cache, store, parts.onLookUpRefused),
  };
}
