/** Makes the store, with all that stands before it. */
import { boundFlushes } from "./cluster/flush_bound.ts";
import { type Config, storePlace } from "./config/config.ts";
import type { Breakers } from "./guarding/breakers.ts";
import { FirstContact } from "./guarding/first_contact.ts";
import { guardStore } from "./guarding/guarded_store.ts";
import { StoreFaults } from "./guarding/store_faults.ts";
import { StoreGate } from "./guarding/store_gate.ts";
import { createFlushSlots, type loadStore } from "./parts.ts";
import type { Clock } from "./ports/clock.ts";
import type { StorePorts } from "./ports/store.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

interface StoringParts {
  readonly makeStore: Awaited<ReturnType<typeof loadStore>>;
  readonly breakers: Breakers;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
}

export interface Storing {
  readonly store: StorePorts;
  /** It says whether the database is the one that is meant. */
  readonly gate: StoreGate;
  readonly firstContact: FirstContact;
}

export function makeStoring(config: Config, parts: StoringParts): Storing {
  const { makeStore, breakers, clock, metrics, log } = parts;
  const gate = new StoreGate(storePlace(config.store), log);
  const unguarded = makeStore({
    // A worker has no directory that could belong to another store.
    ...(config.role !== "worker" && { gate }),
    onIndexFault: (error) =>
      log.warn("The index for reads could not be made; it is tried again", {
        event: "index-failed",
        error,
      }),
  });
  const guarded = guardStore(
    unguarded,
    { store: breakers.store, reads: breakers["store-reads"] },
    new StoreFaults(metrics, log, clock).note,
  );
  const slots = createFlushSlots(config, clock, { metrics, log });
  return {
    store: boundFlushes(guarded, { slots, clock, metrics }),
    gate,
    firstContact: new FirstContact(unguarded.store, clock, log),
  };
}
