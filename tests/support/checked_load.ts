/** Readers that check every single answer, and a writer whose rows they must see, on one store. */
import type { Entry } from "../../src/domain.ts";
import type { Store } from "../../src/ports/store.ts";
import { entry } from "./fakes.ts";
import { delay } from "./services.ts";

const USERS = 50;
const READERS = 16;
/** Longer than one packet, for some of them. */
const PADDING = "·".repeat(3_000);

export interface Counts {
  reads: number;
  /**
   * Answers that are not a value of that user, or older than what had been committed before the
   * question.
   */
  wrong: number;
  /** Users that are there and were said not to be. */
  absent: number;
  /** Reads that threw: what the service answers with 503. */
  failed: number;
  /** Batches that were committed. */
  puts: number;
  failedPuts: number;
  /** What they failed with, once each. */
  readonly errors: Set<string>;
}

export class CheckedLoad {
  readonly counts: Counts = {
    reads: 0,
    wrong: 0,
    absent: 0,
    failed: 0,
    puts: 0,
    failedPuts: 0,
    errors: new Set(),
  };
  /** No batch is put while this is true. */
  onlyRead = false;
  /** The version of every user that is surely there. */
  #committed = 0;
  #seq = 0;
  #running = true;

  constructor(private readonly store: Store, private readonly source = "checked/1") {}

  /** The first version of every user. */
  async fill(): Promise<void> {
    await this.store.open(this.source);
    await this.#put(1);
  }

  /** Reads and writes until `meanwhile` is done. Throws what `meanwhile` throws. */
  async during(meanwhile: () => Promise<void>): Promise<Counts> {
    const workers = [this.#write(), ...Array.from({ length: READERS }, () => this.#read())];
    try {
      await meanwhile();
    } finally {
      this.#running = false;
      await Promise.all(workers);
    }
    return this.counts;
  }

  async #read(): Promise<void> {
    while (this.#running) {
      const userId = `user${Math.floor(Math.random() * USERS)}`;
      const atLeast = this.#committed;
      this.counts.reads++;
      try {
        this.#check(userId, atLeast, await this.store.latest(userId));
      } catch (error) {
        this.counts.failed++;
        this.#note(error);
        await delay(10);
      }
    }
  }

  #check(userId: string, atLeast: number, found: Entry | undefined): void {
    if (found === undefined) this.counts.absent++;
    else if (
      found.value !== valueOf(userId, found.ts) || found.ts < atLeast || found.userId !== userId
    ) {
      this.counts.wrong++;
    }
  }

  async #write(): Promise<void> {
    for (let version = this.#committed + 1; this.#running; version++) {
      while (this.onlyRead && this.#running) await delay(5);
      await this.#put(version);
      await delay(20);
    }
  }

  /** As the batcher does: the same batch again until it is committed. */
  async #put(version: number): Promise<void> {
    const batch = Array.from({ length: USERS }, (_, i) => {
      const userId = `user${i}`;
      return entry(++this.#seq, {
        userId,
        value: valueOf(userId, version),
        ts: version,
        acceptedMs: version,
      });
    });
    while (this.#running) {
      try {
        await this.store.put(this.source, batch, 0);
        this.#committed = version;
        this.counts.puts++;
        return;
      } catch (error) {
        this.counts.failedPuts++;
        this.#note(error);
        await delay(50);
      }
    }
  }

  #note(error: unknown): void {
    this.counts.errors.add(
      error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    );
  }
}

function valueOf(userId: string, version: number): string {
  return `${userId} has version ${version} ${version % 3 === 0 ? PADDING : ""}`;
}
