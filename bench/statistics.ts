/** Condenses the rounds of a figure. */

/** Returns the middle value; between two middle ones it is their mean. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return sorted.length === 0 ? NaN : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Returns the ratios of neighbouring rounds: what the machine did meanwhile met both sides. */
export function ratios(values: readonly number[], base: readonly number[]): number[] {
  if (values.length !== base.length) {
    throw new Error(`Cannot compare ${values.length} rounds with ${base.length}`);
  }
  return values.map((value, i) => value / base[i]!);
}

/** Returns `median (least..most)`. */
export function spread(values: readonly number[], digits = digitsFor(values)): string {
  const text = (value: number) => value.toFixed(digits);
  return `${text(median(values))} (${text(Math.min(...values))}..${text(Math.max(...values))})`;
}

/** Three significant digits say what a benchmark knows. */
export function digitsFor(values: readonly number[]): number {
  const size = Math.abs(median(values));
  return size >= 100 ? 0 : size >= 10 ? 1 : 2;
}
