/**
 * Takes a slot of this process first, and then one that all instances share. Whenever the shared
 * ones cannot be asked for, the slot of the process is enough: a flush never stops because Redis is
 * away.
 */
import type { FlushSlot, FlushSlots } from "../ports/flush_slots.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

export interface LayeredSlotsParts {
  readonly local: FlushSlots;
  readonly shared: FlushSlots;
  readonly metrics: Pick<Metrics, "flushSlotFallbacks">;
  readonly log: Pick<Log, "info" | "warn">;
}

export class LayeredSlots implements FlushSlots {
  #isShared = true;

  constructor(private readonly parts: LayeredSlotsParts) {}

  async acquire(store: string, signal: AbortSignal): Promise<FlushSlot | undefined> {
    const local = await this.parts.local.acquire(store, signal);
    if (local === undefined) return undefined;
    let shared: FlushSlot | undefined;
    try {
      shared = await this.parts.shared.acquire(store, signal);
    } catch (error) {
      this.#fallBack(error);
      return local;
    }
    this.#tellShared();
    if (shared === undefined) {
      local.release();
      return undefined;
    }
    return {
      release() {
        shared.release();
        local.release();
      },
    };
  }

  async close(): Promise<void> {
    await this.parts.local.close();
    await this.parts.shared.close();
  }

  #fallBack(error: unknown): void {
    const { metrics, log } = this.parts;
    metrics.flushSlotFallbacks.inc();
    if (!this.#isShared) return;
    this.#isShared = false;
    log.warn("Flushes are bounded in this process alone: the shared slots cannot be asked for", {
      error,
    });
  }

  #tellShared(): void {
    if (this.#isShared) return;
    this.#isShared = true;
    this.parts.log.info("Flushes are bounded over all instances again");
  }
}
