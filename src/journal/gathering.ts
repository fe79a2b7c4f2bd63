/** Lets a group fill that nobody waits for, as each takes a write and a sync, however small it is. */
import type { Clock } from "../ports/clock.ts";
import type { Group } from "./group.ts";

/**
 * It is put off so long for others to join it: a crash takes some more of what is in memory only,
 * and a sync each would cost more than the writes themselves.
 */
const GATHER_MS = 5;

export class Gathering {
  #end: (() => void) | undefined;
  #isStopped = false;

  /** @param setTimeout without it nothing is put off */
  constructor(private readonly setTimeout: Clock["setTimeout"] | undefined) {}

  /** Resolves when the group is not to be put off any longer: somebody waits, or its time is up. */
  async wait(group: Group): Promise<void> {
    if (this.setTimeout === undefined || this.#isStopped) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.setTimeout(resolve, GATHER_MS);
    group.whenAwaited(resolve);
    this.#end = resolve;
    await promise;
    this.#end = undefined;
    cancel();
  }

  /** Puts off the group no longer that is being put off, if one is. */
  end(): void {
    this.#end?.();
  }

  /** Puts off nothing any more. */
  stop(): void {
    this.#isStopped = true;
    this.end();
  }
}
