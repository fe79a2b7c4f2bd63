/**
 * Is the batch that the sink was given before its turn: what comes of it counts only when that
 * comes. Until then nothing else is asked of the sink.
 */
import { StoreWentBackError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Delivered, Sink } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";

/**
 * The other side is at work on a batch long before this. A sink that does not tell, or is kept
 * waiting, is not to keep those waiting whose batch is in it.
 */
const SENT_WITHIN_MS = 50;

export class SentAhead {
  #delivered: Promise<Delivered> | undefined;

  constructor(
    private readonly sink: Pick<Sink, "deliver">,
    private readonly clock: Pick<Clock, "setTimeout">,
  ) {}

  /** It is true when there is a batch whose turn has not come. */
  get isThere(): boolean {
    return this.#delivered !== undefined;
  }

  /**
   * Gives the sink a batch, and resolves when it is on its way, or has failed: its turn says how.
   * @throws StoreWentBackError at once, as it says so of the batches before this one, too
   */
  async send(batch: Batch): Promise<void> {
    const { promise: sent, resolve } = Promise.withResolvers<void>();
    const cancel = this.clock.setTimeout(resolve, SENT_WITHIN_MS);
    this.#delivered = this.sink.deliver(batch, resolve);
    const failed = this.#delivered.catch((error) => {
      if (error instanceof StoreWentBackError) throw error;
    });
    // Who waits for it no longer is not told here.
    failed.catch(() => {});
    try {
      await Promise.race([sent, failed]);
    } finally {
      cancel();
    }
  }

  /** Returns what comes of the batch, as its turn has come; undefined when there is none. */
  take(): Promise<Delivered> | undefined {
    const delivered = this.#delivered;
    this.#delivered = undefined;
    return delivered;
  }

  /**
   * Resolves when the sink is at work on it no more, with what it has delivered if it did: it is
   * sent once more all the same.
   */
  async drop(): Promise<Delivered | undefined> {
    return await this.take()?.catch(() => undefined);
  }
}
