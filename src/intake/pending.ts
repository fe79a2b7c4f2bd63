/**
 * The newest accepted entry of every user that the store may not have yet: what makes a write
 * readable at once. Holds durable values up to a byte budget; past it only their places, and the
 * queue gives the value back from disk.
 */
import { compareVersions, type Entry, newest, type Version } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { type PackedText, packText, unpackText } from "../packed.ts";
import type { Queue } from "../ports/queue.ts";

interface Slot extends Version {
  /** undefined: not held here, ask the queue. */
  readonly value: PackedText | undefined;
  /**
   * The newest of those accepted later but older by version: what counts when this one is settled,
   * and above all when the store refuses it. Accepted earlier and older need no place, as they are
   * settled first.
   */
  next: Slot | undefined;
}

/**
 * A user's entries that are acknowledged and not durable yet: each may still be withdrawn, and then
 * the others count again.
 */
interface Volatile {
  readonly entries: Map<number, Entry>;
  /** undefined: to be found out when asked. */
  newest: Entry | undefined;
}

/** Whoever writes ever older versions gets no more memory for it. */
const MAX_SLOTS_PER_USER = 16;

export class Pending {
  readonly #durable = new Map<string, Slot>();
  readonly #volatile = new Map<string, Volatile>();
  #valueBytes = 0;
  #settlements = 0;

  constructor(
    private readonly readFromQueue: Queue["read"],
    private readonly valueBudgetBytes: number = MEMORY_BUDGET.pendingValues.bytes,
  ) {}

  /** Acknowledged before it is durable; {@link addDurable} or {@link withdraw} has to follow. */
  addVolatile(entry: Entry): void {
    const held = this.#volatile.get(entry.userId);
    if (held === undefined) {
      this.#volatile.set(entry.userId, { entries: new Map([[entry.seq, entry]]), newest: entry });
      return;
    }
    held.entries.set(entry.seq, entry);
    if (held.newest !== undefined) held.newest = newest(held.newest, entry);
  }

  addDurable(entry: Entry): void {
    this.withdraw(entry);
    const { userId, value, ts, acceptedMs, run, seq } = entry;
    const version = { ts, acceptedMs, run, seq, next: undefined };
    const newest = this.#durable.get(userId);
    if (newest !== undefined && compareVersions(entry, newest) < 0) {
      return placeBehind(newest, { ...version, value: undefined });
    }
    if (newest !== undefined) this.#valueBytes -= sizeOf(newest);
    const full = this.#valueBytes + value.length * 2 > this.valueBudgetBytes;
    const slot: Slot = { ...version, value: full ? undefined : packText(value) };
    this.#valueBytes += sizeOf(slot);
    this.#durable.set(userId, slot);
  }

  /** Takes back an entry that was added before it was durable and never became so. */
  withdraw({ userId, seq }: Entry): void {
    const held = this.#volatile.get(userId);
    if (held === undefined || !held.entries.delete(seq)) return;
    if (held.newest?.seq === seq) held.newest = undefined;
    if (held.entries.size === 0) this.#volatile.delete(userId);
  }

  has(userId: string): boolean {
    return this.#durable.has(userId) || this.#volatile.has(userId);
  }

  get(userId: string): Entry | undefined | Promise<Entry | undefined> {
    const volatile = this.#newestVolatile(userId);
    const slot = this.#durable.get(userId);
    if (slot === undefined) return volatile;
    if (volatile !== undefined && compareVersions(volatile, slot) > 0) return volatile;
    if (slot.value === undefined) return this.#read(slot);
    const { ts, acceptedMs, run, seq, value } = slot;
    return { userId, value: unpackText(value), ts, acceptedMs, run, seq };
  }

  /** The entries are in the store (and the cache knows): forget what is not newer than them. */
  settle(entries: readonly Entry[], lastSeq: number): void {
    this.#settlements++;
    for (const { userId } of entries) {
      let slot = this.#durable.get(userId);
      if (slot === undefined || slot.seq > lastSeq) continue;
      this.#valueBytes -= sizeOf(slot);
      while (slot !== undefined && slot.seq <= lastSeq) slot = slot.next;
      if (slot === undefined) this.#durable.delete(userId);
      else this.#durable.set(userId, slot);
    }
  }

  /**
   * Grows with each settlement: a store look-up begun at an older count may have missed what was
   * settled since.
   */
  get settlements(): number {
    return this.#settlements;
  }

  /** With a durable entry. */
  get users(): number {
    return this.#durable.size;
  }

  /** Gone from the queue in the meantime means that it is settled: then the next one counts. */
  async #read(slot: Slot): Promise<Entry | undefined> {
    for (let at: Slot | undefined = slot; at !== undefined; at = at.next) {
      const entry = await this.readFromQueue(at.seq);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  #newestVolatile(userId: string): Entry | undefined {
    const held = this.#volatile.get(userId);
    if (held === undefined || held.newest !== undefined) return held?.newest;
    for (const entry of held.entries.values()) held.newest = newest(held.newest, entry);
    return held.newest;
  }
}

function placeBehind(newest: Slot, slot: Slot): void {
  let at = newest;
  for (let place = 1; place < MAX_SLOTS_PER_USER; place++) {
    if (at.next === undefined || compareVersions(slot, at.next) > 0) {
      at.next = slot;
      return;
    }
    at = at.next;
  }
}

function sizeOf(slot: Slot): number {
  const { value } = slot;
  if (value === undefined) return 0;
  return typeof value === "string" ? value.length * 2 : value.length;
}
