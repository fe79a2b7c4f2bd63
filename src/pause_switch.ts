/**
 * Is what a person pauses and resumes: what brings writes to the store asks it before it begins
 * anything. It is of this process, and starts as not paused.
 */
export class PauseSwitch {
  #isPaused = false;
  readonly #listeners = new Set<() => void>();

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Turned to what it is already, it tells nobody. */
  turn(isPaused: boolean): void {
    if (this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    for (const listener of [...this.#listeners]) listener();
  }

  /** @returns what ends it */
  onTurn(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
