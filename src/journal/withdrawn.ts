/**
 * Keeps the numbers that were given out and never became durable, as intervals: a full disk
 * withdraws a group at a time.
 */

export interface WithdrawnInterval {
  readonly run: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** It is false where withdrawn numbers are among others, and nobody knows any more which. */
  readonly certain: boolean;
}

/**
 * So many take some 12 KB of checkpoint. One more takes the place of the oldest, which becomes
 * uncertain.
 */
const INTERVALS_MAX = 200;

export class Withdrawn {
  #intervals: WithdrawnInterval[] = [];

  constructor(known: Iterable<WithdrawnInterval> = []) {
    for (const each of known) this.#intervals.push(each);
  }

  get intervals(): readonly WithdrawnInterval[] {
    return this.#intervals;
  }

  add(run: string, firstSeq: number, lastSeq: number): void {
    const touching = this.#intervals.filter((each) =>
      each.certain && each.run === run && each.firstSeq <= lastSeq + 1 &&
      each.lastSeq >= firstSeq - 1
    );
    this.#intervals = this.#intervals.filter((each) => !touching.includes(each));
    this.#intervals.push({
      run,
      firstSeq: Math.min(firstSeq, ...touching.map((each) => each.firstSeq)),
      lastSeq: Math.max(lastSeq, ...touching.map((each) => each.lastSeq)),
      certain: true,
    });
    while (this.#intervals.length > INTERVALS_MAX) this.#makeRoom();
  }

  /** Returns whether a number was withdrawn; undefined when that cannot be said any more. */
  has(run: string, seq: number): boolean | undefined {
    let answer: boolean | undefined = false;
    for (const each of this.#intervals) {
      if (each.run !== run || seq < each.firstSeq || seq > each.lastSeq) continue;
      if (each.certain) return true;
      answer = undefined;
    }
    return answer;
  }

  #makeRoom(): void {
    if (this.#intervals.some(({ certain }) => certain)) this.#blurOldest();
    // All are uncertain then, one for each of ever other runs: the oldest is dropped, as its run is
    // forgotten by then.
    else this.#intervals.shift();
  }

  #blurOldest(): void {
    const { certain = [], uncertain = [] } = Object.groupBy(
      this.#intervals,
      ({ certain }) => certain ? "certain" : "uncertain",
    );
    const [oldest, ...others] = certain;
    const { run, lastSeq } = oldest!;
    this.#intervals = [
      ...uncertain.filter((each) => each.run !== run),
      { run, firstSeq: 1, lastSeq, certain: false },
      ...others,
    ];
  }
}
