/** Compares numbers that come in order with those that have to be there, each of them once. */
import type { Checked } from "../../ports/audit.ts";
import type { Interval } from "../../ports/group_store.ts";

/** Of what a comparison finds so much is named. */
const NAMED_MAX = 1_000;

export class Comparison {
  readonly #gaps: Gaps;
  readonly #doubled: { seq: number; times: number }[] = [];
  #doubledNumbers = 0;
  #next: number;

  /** @param noted numbers that need not be there; they ascend */
  constructor(
    private readonly first: number,
    private readonly last: number,
    noted: readonly Interval[],
  ) {
    this.#gaps = new Gaps(noted);
    this.#next = first;
  }

  /** Is told of each number from `first` through `last` that is there, or noted as gone, in order. */
  add(seq: number, times: number): void {
    this.#gaps.add(this.#next, seq - 1);
    this.#next = seq + 1;
    if (times <= 1) return;
    this.#doubledNumbers++;
    if (this.#doubled.length < NAMED_MAX) this.#doubled.push({ seq, times });
  }

  /** It is called once, behind the last number. */
  end(): Checked {
    this.#gaps.add(this.#next, this.last);
    return {
      numbers: Math.max(0, this.last - this.first + 1),
      missing: { first: this.#gaps.named, numbers: this.#gaps.numbers },
      doubled: { first: this.#doubled, numbers: this.#doubledNumbers },
    };
  }
}

/** Gathers numbers that are missing, without those that were noted. */
class Gaps {
  readonly named: Interval[] = [];
  numbers = 0;
  #next = 0;

  /** @param noted they ascend */
  constructor(private readonly noted: readonly Interval[]) {}

  /** Is told of numbers that ascend from call to call; there are none where `last` is the less. */
  add(first: number, last: number): void {
    let from = first;
    while (this.#next < this.noted.length && this.noted[this.#next]!.first <= last) {
      const note = this.noted[this.#next]!;
      this.#note(from, note.first - 1);
      from = Math.max(from, note.last + 1);
      if (note.last >= last) break;
      this.#next++;
    }
    this.#note(from, last);
  }

  #note(first: number, last: number): void {
    if (last < first) return;
    this.numbers += last - first + 1;
    if (this.named.length < NAMED_MAX) this.named.push({ first, last });
  }
}
