/**
 * The newest accepted entry of every user that the store may not have yet: what makes a write readable at once.
 * Holds values up to a byte budget; past it only their places, and the queue gives the value back from disk.
 */
import { compareVersions, type Entry, type Version } from "./domain.ts";
import type { Queue } from "./ports.ts";

interface Slot extends Version {
  /** undefined: not held here, ask the queue. */
  readonly value: string | undefined;
}

const VALUE_BUDGET_BYTES = 64 * 1024 * 1024;

export class Pending {
  readonly #slots = new Map<string, Slot>();
  #valueBytes = 0;
  #settlements = 0;

  constructor(
    private readonly readFromQueue: Queue["read"],
    private readonly valueBudgetBytes = VALUE_BUDGET_BYTES,
  ) {}

  /** @param durable false when the entry is not on disk yet, so that its value has to be held here. */
  add(entry: Entry, durable: boolean): void {
    const old = this.#slots.get(entry.userId);
    if (old !== undefined) {
      if (compareVersions(entry, old) < 0) return;
      this.#valueBytes -= sizeOf(old);
    }
    const full = durable && this.#valueBytes + entry.value.length * 2 > this.valueBudgetBytes;
    const { ts, acceptedMs, instance, seq } = entry;
    const slot: Slot = { ts, acceptedMs, instance, seq, value: full ? undefined : entry.value };
    this.#valueBytes += sizeOf(slot);
    this.#slots.set(entry.userId, slot);
  }

  get(userId: string): Entry | undefined | Promise<Entry | undefined> {
    const slot = this.#slots.get(userId);
    if (slot === undefined) return undefined;
    if (slot.value !== undefined) return { ...slot, userId, value: slot.value };
    // Gone from the queue in the meantime means that the store has it.
    return this.readFromQueue(slot.seq);
  }

  /** The entries are in the store (and the cache knows): forget what is not newer than them. */
  settle(entries: readonly Entry[], lastSeq: number): void {
    this.#settlements++;
    for (const { userId } of entries) {
      const slot = this.#slots.get(userId);
      if (slot !== undefined && slot.seq <= lastSeq) this.#remove(userId, slot);
    }
  }

  /** Takes back an entry that was added before it was durable and never became so. */
  withdraw(entry: Entry): void {
    const slot = this.#slots.get(entry.userId);
    if (slot !== undefined && slot.seq === entry.seq) this.#remove(entry.userId, slot);
  }

  /** Grows with each settlement: a store look-up begun at an older count may have missed what was settled since. */
  get settlements(): number {
    return this.#settlements;
  }

  get users(): number {
    return this.#slots.size;
  }

  #remove(userId: string, slot: Slot): void {
    this.#valueBytes -= sizeOf(slot);
    this.#slots.delete(userId);
  }
}

function sizeOf(slot: Slot): number {
  return slot.value === undefined ? 0 : slot.value.length * 2;
}
