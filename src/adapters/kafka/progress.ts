/** One message that was given out, until nobody has to give it again. */
export interface Given {
  readonly offset: bigint;
  isDone: boolean;
}

/**
 * How far one partition has come. Kafka knows a single offset of it, before which all is done, so
 * that what was acknowledged out of turn waits for what comes before it.
 */
export class Progress {
  /** These were given out, in order; the first of them is not done. */
  readonly #given: Given[] = [];
  #done: bigint;
  /** So far Kafka knows it. */
  committed: bigint;
  /** It belongs to another worker now, who is given what was not committed. */
  isRevoked = false;

  /** @param position is the offset of the next message that is to be given out */
  constructor(readonly partition: number, public position: bigint) {
    this.#done = position;
    this.committed = position;
  }

  /** All before it is done. */
  get done(): bigint {
    return this.#done;
  }

  give(offset: bigint): Given {
    const given = { offset, isDone: false };
    this.#given.push(given);
    this.position = offset + 1n;
    return given;
  }

  finish(given: Given): void {
    given.isDone = true;
    let finished = 0;
    while (this.#given[finished]?.isDone) finished++;
    if (finished === 0) return;
    this.#done = this.#given[finished - 1]!.offset + 1n;
    this.#given.splice(0, finished);
  }

  /** Goes on from here: what is between is not there to be given out. */
  skipTo(position: bigint): void {
    this.position = position;
    if (this.#given.length === 0) this.#done = position;
  }
}
