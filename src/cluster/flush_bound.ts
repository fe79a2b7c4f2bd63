/**
 * Puts the bound on flushes in front of the ports of a store: what brings entries there takes a
 * slot first, by whichever way they came. Marks, folds and reads take none: they are little to a
 * database, and readers wait for them. The deadline of a flush is the store's own, and so begins
 * when the slot is granted.
 */
import type { Entry } from "../domain.ts";
import { StoreNotAskedError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { FlushSlots } from "../ports/flush_slots.ts";
import type { GroupStore } from "../ports/group_store.ts";
import type { Store, StorePorts } from "../ports/store.ts";
import type { StoreIdentity } from "../ports/store_identity.ts";
import type { Metrics } from "../telemetry/metrics.ts";

interface FlushBoundParts {
  /** Where there are none flushes are only measured. */
  readonly slots: FlushSlots | undefined;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly metrics: Pick<
    Metrics,
    "flushDuration" | "flushLastSuccess" | "flushSlotWait" | "flushSlotsHeld"
  >;
}

export function boundFlushes(ports: StorePorts, parts: FlushBoundParts): StorePorts {
  const bound = new FlushBound(ports.identity, parts);
  const { store, groups } = ports;
  return {
    ...ports,
    store: boundStore(store, bound),
    ...(groups !== undefined && { groups: boundGroups(groups, bound) }),
  };
}

function boundStore(store: Store, bound: FlushBound): Store {
  return {
    open: (source) => store.open(source),
    put: (source, entries, ...rest) =>
      bound.run(() => store.put(source, entries, ...rest), tracedAmong(entries)),
    marks: (sources) => store.marks(sources),
    latest: (userId) => store.latest(userId),
    ping: () => store.ping(),
    close: () => bound.closeWith(store),
  };
}

function boundGroups(groups: GroupStore, bound: FlushBound): GroupStore {
  return {
    apply: (given) =>
      bound.run(() => groups.apply(given), tracedAmong(given.flatMap(({ entries }) => entries))),
    fold: (...what) => groups.fold(...what),
    dead: (...what) => groups.dead(...what),
  };
}

/** Returns a trace that has one of these, for the exemplar. */
function tracedAmong(entries: readonly Entry[]): string | undefined {
  return entries.find(({ trace }) => trace !== undefined)?.trace?.traceId;
}

class FlushBound {
  /** It is asked for once, and again after each failure: another store may have come back. */
  #storeId: string | undefined;
  readonly #closing = new AbortController();

  constructor(private readonly identity: StoreIdentity, private readonly parts: FlushBoundParts) {}

  /**
   * @param traceId of a trace that has one of the rows, if there is one
   * @throws StoreNotAskedError when no slot was granted; whatever `flush` throws
   */
  async run<T>(flush: () => Promise<T>, traceId?: string): Promise<T> {
    const { slots, metrics } = this.parts;
    if (slots === undefined) return await this.#measured(flush, traceId);
    const slot = await this.#slotOf(slots);
    metrics.flushSlotsHeld.inc();
    try {
      return await this.#measured(flush, traceId);
    } catch (error) {
      this.#storeId = undefined;
      throw error;
    } finally {
      metrics.flushSlotsHeld.dec();
      slot.release();
    }
  }

  /** Ends the waits first: a store that is closed would be asked for nothing but an error. */
  async closeWith(store: Pick<Store, "close">): Promise<void> {
    this.#closing.abort();
    try {
      await store.close();
    } finally {
      await this.parts.slots?.close();
    }
  }

  async #slotOf(slots: FlushSlots) {
    const { clock, metrics } = this.parts;
    this.#storeId ??= (await this.identity.identify()).id;
    const askedMs = clock.monotonicMs();
    const slot = await slots.acquire(this.#storeId, this.#closing.signal);
    const waitedMs = clock.monotonicMs() - askedMs;
    if (slot === undefined) {
      throw new StoreNotAskedError(
        this.#closing.signal.aborted
          ? "The store is being closed: no flush is begun"
          : `No slot for a flush came free within ${Math.round(waitedMs)} ms: it is tried again. ` +
            "Where that happens often, the database is too slow for what is written, or " +
            "FLUSH_SLOTS is too low",
      );
    }
    metrics.flushSlotWait.observe(waitedMs / 1000);
    return slot;
  }

  async #measured<T>(flush: () => Promise<T>, traceId?: string): Promise<T> {
    const { clock, metrics } = this.parts;
    const startedMs = clock.monotonicMs();
    const result = await flush();
    metrics.flushDuration.observe((clock.monotonicMs() - startedMs) / 1000, traceId);
    metrics.flushLastSuccess.note();
    return result;
  }
}
