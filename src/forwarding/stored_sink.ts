/**
 * Takes what the store has already, by workers, for delivered: it asks only which of it was refused.
 */
import { StoreRefusesError } from "../errors.ts";
import type { GroupStore } from "../ports/group_store.ts";
import type { Delivered, Sink } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";
import type { Store } from "../ports/store.ts";

interface StoredSinkParts {
  readonly store: Pick<Store, "marks">;
  readonly deadAmong: GroupStore["dead"];
  /** It returns the name of this start of this instance. */
  readonly run: () => string;
}

export class StoredSink implements Sink {
  #refusal: string | undefined;

  constructor(private readonly parts: StoredSinkParts) {}

  get refusal(): string | undefined {
    return this.#refusal;
  }

  marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    return this.#ask(() => this.parts.store.marks([...sources]));
  }

  async deliver({ source, entries, lastSeq }: Batch): Promise<Delivered> {
    // What an earlier run accepted may have been refused, and discarded by a person since.
    if (source !== this.parts.run()) return { stored: [], dead: [] };
    const firstSeq = entries[0]!.seq;
    const dead = await this.#ask(() => this.parts.deadAmong(source, firstSeq, lastSeq));
    if (dead.length === 0) return { stored: entries, dead };
    const refused = new Set(dead.map(({ seq }) => seq));
    return { stored: entries.filter(({ seq }) => !refused.has(seq)), dead };
  }

  async #ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call();
      this.#refusal = undefined;
      return answer;
    } catch (error) {
      if (error instanceof StoreRefusesError) this.#refusal = error.message;
      throw error;
    }
  }
}
