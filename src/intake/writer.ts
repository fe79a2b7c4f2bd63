/**
 * The write path: queue → the acknowledgement level asked for; what is durable becomes readable and
 * goes to the cache.
 */
import type { Batcher } from "../delivery/batcher.ts";
import type { CacheClient } from "../reading/cache_client.ts";
import type { AckLevel, Entry, Write } from "../domain.ts";
import { AppError } from "../errors.ts";
import type { Pending } from "./pending.ts";
import type { Queue } from "../ports/queue.ts";
import type { Log } from "../telemetry/log.ts";

export interface WriteResult {
  readonly entry: Entry;
  /** The level really reached: `durable` when `flushed` was asked for but did not come in time. */
  readonly ack: AckLevel;
}

/** How long a `flushed` write waits before it is answered as `durable`. */
const FLUSHED_TIMEOUT_MS = 10_000;
/**
 * Each user with a write that waits for the store costs some 250 bytes of memory; the writes
 * themselves are on disk.
 */
const MAX_PENDING_USERS = 1_000_000;

export class Writer {
  #underWay = 0;

  constructor(
    private readonly queue: Queue,
    private readonly pending: Pending,
    private readonly cache: CacheClient,
    private readonly batcher: Batcher,
    private readonly log: Log,
    private readonly maxPendingUsers = MAX_PENDING_USERS,
  ) {}

  /**
   * @throws AppError `queue-full`, `journal-failed`, `shutting-down`: the write was not accepted.
   */
  async write(write: Write, ack: AckLevel): Promise<WriteResult> {
    this.#refuseAtLimit(write.userId);
    const { entry, durable } = this.queue.push(write);
    this.#underWay++;
    const readable = durable.then(() => this.#becameDurable(entry)).finally(() => this.#underWay--);
    if (ack === "accepted") {
      this.pending.addVolatile(entry);
      this.cache.lastKnown.forget(entry.userId);
      readable.catch((error) => this.#lostBeforeDurable(entry, error));
      return { entry, ack };
    }
    await readable;
    if (ack === "flushed") {
      const inTime = await this.batcher.whenFlushed(entry.seq, FLUSHED_TIMEOUT_MS);
      return { entry, ack: inTime ? "flushed" : "durable" };
    }
    return { entry, ack };
  }

  #refuseAtLimit(userId: string): void {
    if (this.pending.users + this.#underWay < this.maxPendingUsers || this.pending.has(userId)) {
      return;
    }
    throw new AppError(
      "queue-full",
      "Too many users have writes that wait for the database. Retry later.",
    );
  }

  #becameDurable(entry: Entry): void {
    this.pending.addDurable(entry);
    this.cache.offer(entry);
    this.batcher.notify();
  }

  #lostBeforeDurable(entry: Entry, error: unknown): void {
    this.pending.withdraw(entry);
    this.log.error(
      "A write acknowledged as 'accepted' (memory only) could not be made durable and is lost",
      {
        writeId: `${entry.run}-${entry.seq}`,
        error,
      },
    );
  }
}
