/**
 * Bounds how many messages are given out at a time, over all connections of a consumer: those that
 * were given out before a connection was lost are still in somebody's memory.
 */
export class Window {
  #givenOut = 0;
  #held: (() => void)[] = [];

  constructor(private readonly max: number) {}

  /** Calls it now, or when there is room; each call of it takes one place. */
  giveOut(give: () => void): void {
    if (this.#givenOut >= this.max) {
      this.#held.push(give);
      return;
    }
    this.#givenOut++;
    give();
  }

  free(): void {
    this.#givenOut--;
    const next = this.#held.shift();
    if (next !== undefined) this.giveOut(next);
  }

  /** Others are given what has not been given out. */
  dropHeld(): void {
    this.#held = [];
  }
}
