/** Lets a group fill for a little, as each takes a write and a sync, however small it is. */
import type { Clock } from "../ports/clock.ts";
import type { Group } from "./group.ts";

/**
 * A group that nobody waits for is put off so long for others to join it: a crash takes some more
 * of what is in memory only, and a sync each would cost more than the writes themselves.
 */
const GATHER_MS = 5;

export interface GatheringOptions {
  /** Without it nothing is put off that nobody waits for. */
  readonly setTimeout?: Clock["setTimeout"] | undefined;
  /**
   * Resolves when all that came in this turn of the event loop was looked at; without it a group is
   * written as soon as the one before it is durable.
   */
  readonly endOfTurn?: (() => Promise<void>) | undefined;
}

export class Gathering {
  #end: (() => void) | undefined;

  constructor(private readonly options: GatheringOptions) {}

  /** Resolves when the group is not to be put off any longer. */
  async wait(group: Group): Promise<void> {
    if (group.isAwaited) return await this.options.endOfTurn?.();
    const { setTimeout } = this.options;
    if (setTimeout === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = setTimeout(resolve, GATHER_MS);
    group.whenAwaited(resolve);
    this.#end = resolve;
    await promise;
    this.#end = undefined;
    cancel();
  }

  /** Puts off no longer the group that nobody waits for. */
  end(): void {
    this.#end?.();
  }
}
