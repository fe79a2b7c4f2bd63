/** Are slots of one process: nothing outlives it, so that none has to expire. */
import type { Clock } from "../../ports/clock.ts";
import type { FlushSlot, FlushSlots } from "../../ports/flush_slots.ts";

export interface MemoryFlushSlotsOptions {
  /** So many are held at a time; a process has one store. */
  readonly count: number;
  /** Nobody waits longer than this. */
  readonly waitMs: number;
  readonly clock: Pick<Clock, "setTimeout">;
}

export function createMemoryFlushSlots(options: MemoryFlushSlotsOptions): FlushSlots {
  return new MemoryFlushSlots(options);
}

class MemoryFlushSlots implements FlushSlots {
  #free: number;
  /** They are in the order in which they came. */
  readonly #waiting = new Set<() => void>();

  constructor(private readonly options: MemoryFlushSlotsOptions) {
    this.#free = options.count;
  }

  async acquire(_store: string, signal: AbortSignal): Promise<FlushSlot | undefined> {
    if (signal.aborted) return undefined;
    if (this.#free > 0) this.#free--;
    else if (!await this.#isGranted(signal)) return undefined;
    return this.#slot();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #isGranted(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isGranted: boolean) => {
        cancelTimer();
        signal.removeEventListener("abort", giveUp);
        this.#waiting.delete(grant);
        resolve(isGranted);
      };
      const grant = () => end(true);
      const giveUp = () => end(false);
      const cancelTimer = this.options.clock.setTimeout(giveUp, this.options.waitMs);
      signal.addEventListener("abort", giveUp);
      this.#waiting.add(grant);
    });
  }

  #slot(): FlushSlot {
    let isHeld = true;
    return {
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        // It goes from hand to hand: who comes at this moment does not get it first.
        const [next] = this.#waiting;
        if (next === undefined) this.#free++;
        else next();
      },
    };
  }
}
