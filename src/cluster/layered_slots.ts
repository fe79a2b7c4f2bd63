/**
 * Takes a slot of this process first, and then one that all instances share. Whenever the shared
 * ones cannot be asked for, the slot of the process is enough: a flush never stops because Redis is
 * away.
 */
import type { Clock } from "../ports/clock.ts";
import type { FlushSlot, FlushSlots } from "../ports/flush_slots.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { OutageLog } from "../telemetry/outage_log.ts";

export interface LayeredSlotsParts {
  readonly local: FlushSlots;
  readonly shared: FlushSlots;
  readonly metrics: Pick<Metrics, "flushSlotFallbacks">;
  readonly log: Pick<Log, "info" | "warn">;
  readonly clock: Pick<Clock, "monotonicMs">;
}

export class LayeredSlots implements FlushSlots {
  readonly #outage: OutageLog;

  constructor(private readonly parts: LayeredSlotsParts) {
    const { log, clock } = parts;
    this.#outage = new OutageLog({
      clock,
      onBegin: (_, error, fields) =>
        log.warn(
          "Flushes are bounded in this process alone: the shared slots cannot be asked for",
          { event: "slots-local", ...fields, error },
        ),
      onEnd: (fields) =>
        log.info("Flushes are bounded over all instances again", {
          event: "slots-shared",
          ...fields,
        }),
    });
  }

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
    this.#outage.succeeded();
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
    this.parts.metrics.flushSlotFallbacks.inc();
    this.#outage.failed("local", error);
  }
}
