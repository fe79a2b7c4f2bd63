/** Lets so many messages be out at a time, whichever partitions they come from. */
export class Window {
  #out = 0;
  #waiting: (() => void)[] = [];

  constructor(private readonly limit: number) {}

  get isFull(): boolean {
    return this.#out >= this.limit;
  }

  take(): void {
    this.#out++;
  }

  free(): void {
    this.#out--;
    this.wake();
  }

  /** Resolves when it is worth looking again. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lets all look again who wait. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
