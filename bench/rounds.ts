/** Lets sides take turns, so that what the machine does meanwhile meets all of them. */

/**
 * Measures each side once a round, in the other order every other round. A first round warms up and
 * is not counted.
 */
export async function inTurn<Side, Measured>(
  sides: readonly Side[],
  rounds: number,
  measure: (side: Side, round: number) => Promise<Measured>,
): Promise<Map<Side, Measured[]>> {
  const results = new Map<Side, Measured[]>(sides.map((side) => [side, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const measured = await measure(side, round);
      if (round > 0) results.get(side)!.push(measured);
    }
  }
  return results;
}
