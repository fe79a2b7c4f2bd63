import { seeded } from "../support/random.ts";

/** Choices that can be made again: everything random in a run comes from one printed number. */
export class Seeded {
  /** 0 up to, but not including, 1. */
  readonly fraction: () => number;

  /**
   * @param stream another sequence of the same seed, so that one more case does not change those
   * after it
   */
  constructor(readonly seed: number, stream = 0) {
    this.fraction = seeded(Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b));
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.between(0, 255));
  }

  text(length: number, alphabet: readonly string[]): string {
    return Array.from({ length }, () => this.pick(alphabet)).join("");
  }

  /** The bytes in pieces, cut at random places. */
  split(bytes: Uint8Array, mostPieces: number): Uint8Array[] {
    const cuts = Array.from(
      { length: this.between(0, mostPieces - 1) },
      () => this.between(0, bytes.length),
    );
    const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
    return places.slice(1).map((end, i) => bytes.subarray(places[i]!, end)).filter((piece) =>
      piece.length > 0
    );
  }

  /**
   * A copy with one to `most` places changed: a bit, a byte, something missing, repeated or put in.
   */
  mutated(bytes: Uint8Array, most = 3): Uint8Array {
    let result = [...bytes];
    for (let left = this.between(1, most); left > 0; left--) {
      const at = this.between(0, Math.max(0, result.length - 1));
      const length = this.between(1, 8);
      const put = this.pick<() => number[]>([
        () => [(result[at] ?? 0) ^ (1 << this.between(0, 7))],
        () => [this.between(0, 255)],
        () => [],
        () => [...result.slice(at, at + length), ...result.slice(at, at + length)],
        () => [...this.bytes(length), result[at] ?? 0],
      ])();
      result = [...result.slice(0, at), ...put, ...result.slice(at + 1)];
    }
    return Uint8Array.from(result);
  }
}
