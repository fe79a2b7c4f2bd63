/** A sink in memory that is no store: what a broker would be. */
import type { Entry } from "../../src/domain.ts";
import type { RefusedEntry } from "../../src/ports/dead_letters.ts";
import type { Delivered, Sink } from "../../src/ports/sink.ts";
import type { Batch } from "../../src/ports/source.ts";

/** What is on the other side, for as many sinks as like to bring there. */
export interface OtherSide {
  rows: Entry[];
  readonly dead: Map<string, RefusedEntry>;
  readonly marks: Map<string, number>;
}

export class FakeSink implements Sink {
  /** Whatever comes is refused with it, until it is undefined again. */
  refusal: string | undefined;
  /** Entries of these values are refused. */
  refuses: (value: string) => boolean = () => false;
  readonly #confirmed = new Map<string, number>();

  constructor(readonly other: OtherSide = { rows: [], dead: new Map(), marks: new Map() }) {}

  marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    const known = new Map<string, number>();
    for (const source of sources) {
      const mark = this.other.marks.get(source);
      this.#confirmed.set(source, mark ?? 0);
      if (mark !== undefined) known.set(source, mark);
    }
    return Promise.resolve(known);
  }

  deliver({ source, entries, lastSeq }: Batch): Promise<Delivered> {
    if (this.refusal !== undefined) return Promise.reject(new Error(this.refusal));
    const { rows, dead, marks } = this.other;
    const mark = marks.get(source) ?? 0;
    if (mark < (this.#confirmed.get(source) ?? 0)) {
      return Promise.reject(new Error(`The other side has ${source} through ${mark} only`));
    }
    for (const entry of entries) {
      if (entry.seq <= mark) continue;
      if (this.refuses(entry.value)) dead.set(placeOf(source, entry), refusalOf(entry));
      else rows.push(entry);
    }
    marks.set(source, Math.max(mark, lastSeq));
    this.#confirmed.set(source, marks.get(source)!);
    const refused = entries.filter((entry) => dead.has(placeOf(source, entry)));
    return Promise.resolve({
      stored: entries.filter((entry) => !refused.includes(entry)),
      dead: refused.map(refusalOf),
    });
  }
}

function placeOf(source: string, { seq }: Entry): string {
  return `${source}-${seq}`;
}

function refusalOf({ seq }: Entry): RefusedEntry {
  return { seq, code: "refused", message: "not taken" };
}
