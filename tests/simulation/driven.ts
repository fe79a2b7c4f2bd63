/** Drives simulated parts outside a simulation: their world goes on while somebody waits. */
import type { Cache } from "../../src/ports/cache.ts";
import type { World } from "./world.ts";

/** Enough for a copy to expire within a few calls. */
const TURN_MS = 1;

export class Driver {
  #waiting = 0;
  #driving = false;

  constructor(private readonly world: World) {}

  /** The cache, whose calls come to an end by themselves. */
  cache(cache: Cache): Cache {
    return {
      get: (userId) => this.#drive(Promise.resolve(cache.get(userId))),
      update: (...what) => this.#drive(cache.update(...what)),
      token: () => this.#drive(cache.token()),
      fill: (entries, token) => this.#drive(cache.fill(entries, token)),
      forget: (userId, atLeast) => this.#drive(cache.forget(userId, atLeast)),
      close: () => this.#drive(cache.close()),
    };
  }

  #drive<T>(call: Promise<T>): Promise<T> {
    this.#waiting++;
    void this.#goOn();
    return call.finally(() => this.#waiting--);
  }

  async #goOn(): Promise<void> {
    if (this.#driving) return;
    this.#driving = true;
    // Time goes by even where a call is answered without an event.
    this.world.after(TURN_MS, "time goes by", () => {});
    do {
      await this.world.step();
    } while (this.#waiting > 0);
    this.#driving = false;
  }
}
