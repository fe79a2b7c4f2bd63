/**
 * Lets out of a journal only what workers have brought to the store: its mark says how far that is.
 * What was taken and is beyond the mark waits here. So an entry is settled, and let go of, when the
 * store has it, and not when the broker has.
 */
import type { Batch, Rewound, Source } from "../ports/source.ts";
import type { Store } from "../ports/store.ts";

interface StoredSourceParts {
  readonly source: Source;
  readonly store: Pick<Store, "marks">;
  /** It is true of a source whose entries are brought to the store by others; the rest passes. */
  readonly isForwarded: (source: string) => boolean;
  /** It is told that something is to be brought to the store once more. */
  readonly onRewound: () => void;
}

export class StoredSource implements Source {
  /** It was taken from the journal, and the store may lack it. */
  #rest: Batch | undefined;

  constructor(private readonly parts: StoredSourceParts) {}

  get unsettled(): number {
    return this.parts.source.unsettled;
  }

  open(): Promise<ReadonlyMap<string, number>> {
    this.#rest = undefined;
    return this.parts.source.open();
  }

  async take(maxRows: number): Promise<Batch | undefined> {
    const { source, store } = this.parts;
    this.#rest ??= await source.take(maxRows);
    const rest = this.#rest;
    if (rest === undefined) return undefined;
    if (!this.parts.isForwarded(rest.source)) {
      this.#rest = undefined;
      return rest;
    }
    const mark = (await store.marks([rest.source])).get(rest.source) ?? 0;
    if (mark < rest.entries[0]!.seq) return undefined;
    if (mark >= rest.lastSeq) {
      this.#rest = undefined;
      return rest;
    }
    const count = rest.entries.findIndex(({ seq }) => seq > mark);
    const entries = rest.entries.slice(0, count);
    this.#rest = { ...rest, entries: rest.entries.slice(count) };
    return { ...rest, entries, lastSeq: entries.at(-1)!.seq };
  }

  settle(batch: Batch): Promise<void> {
    return this.parts.source.settle(batch);
  }

  async rewind(source: string, seq: number): Promise<Rewound> {
    const rewound = await this.parts.source.rewind(source, seq);
    this.parts.onRewound();
    return rewound;
  }
}
