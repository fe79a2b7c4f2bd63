/**
 * Keeps the newest accepted entry of every user that the store may not have yet, which makes a
 * write readable at once. Durable values are held up to a byte budget; past it only their places
 * are, and the journal gives the value back from disk.
 */
import { compareVersions, type Entry, newest, type Version } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { type PackedText, packText, unpackText } from "../packed.ts";
import type { Intake } from "../ports/intake.ts";

interface Slot extends Version {
  /** It is undefined when it is not held here, and the journal has to be asked. */
  readonly value: PackedText | undefined;
  /**
   * It is the newest of those that are older by version and settled later: it counts when this one
   * is settled, and above all when the store refuses it. Older ones that are settled earlier need
   * no place.
   */
  next: Slot | undefined;
}

/**
 * It has a user's entries that are acknowledged and not durable yet: each may still be withdrawn,
 * and then the others count again.
 */
interface Volatile {
  readonly entries: Map<number, Entry>;
  /** It is undefined while it has to be found out anew. */
  newest: Entry | undefined;
}

/**
 * Each user with a write that waits for the store costs some 250 bytes of memory; the writes
 * themselves are on disk.
 */
export const PENDING_USERS_MAX = 1_000_000;

/**
 * There are no more than so many, so that whoever writes ever older versions gets no more memory
 * for it.
 */
const MAX_SLOTS_PER_USER = 16;

export class Pending {
  readonly #durable = new Map<string, Slot>();
  /** All of them are of this run, as only what is accepted now can be withdrawn. */
  readonly #volatile = new Map<string, Volatile>();
  #valueBytes = 0;
  #settlements = 0;

  constructor(
    private readonly readFromJournal: Intake["read"],
    private readonly valueBudgetBytes: number = MEMORY_BUDGET.pendingValues.bytes,
  ) {}

  /**
   * Adds an entry that is acknowledged before it is durable; {@link addDurable} or {@link withdraw}
   * has to follow.
   */
  addVolatile(entry: Entry): void {
    const held = this.#volatile.get(entry.userId);
    if (held === undefined) {
      this.#volatile.set(entry.userId, { entries: new Map([[entry.seq, entry]]), newest: entry });
      return;
    }
    held.entries.set(entry.seq, entry);
    if (held.newest !== undefined) held.newest = newest(held.newest, entry);
  }

  /**
   * Adds an entry that is durable, also one that an earlier run accepted, or that was settled once
   * and is not any more.
   */
  addDurable(entry: Entry): void {
    if (this.#volatile.size > 0) this.withdraw(entry);
    const { userId, value, ts, acceptedMs, run, seq } = entry;
    const head = this.#durable.get(userId);
    const isNewest = head === undefined || compareVersions(entry, head) > 0;
    const hasRoom = this.#valueBytes + value.length * 2 <= this.valueBudgetBytes;
    const slot: Slot = {
      ts,
      acceptedMs,
      run,
      seq,
      value: isNewest && hasRoom ? packText(value) : undefined,
      next: undefined,
    };
    if (head !== undefined && !isNewest) return this.#placeBehind(head, slot);
    slot.next = this.#skipSettledEarlier(head, slot);
    this.#valueBytes += sizeOf(slot.value);
    this.#cut(slot);
    this.#durable.set(userId, slot);
  }

  /**
   * Takes back an entry that was added before it was durable and never became so. Returns true when
   * it was there.
   */
  withdraw({ userId, run, seq }: Entry): boolean {
    const held = this.#volatile.get(userId);
    if (held?.entries.get(seq)?.run !== run || !held.entries.delete(seq)) return false;
    if (held.newest?.seq === seq) held.newest = undefined;
    if (held.entries.size === 0) this.#volatile.delete(userId);
    return true;
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

  /**
   * Lets go of these users' slots of that run through `lastSeq`, as the entries are in the store,
   * and the cache knows. Slots of other runs are settled by themselves.
   */
  settle(entries: readonly Entry[], lastSeq: number): void {
    this.#settlements++;
    const run = entries[0]?.run;
    for (const { userId } of entries) {
      const head = this.#durable.get(userId);
      if (head === undefined) continue;
      const kept = this.#release(head, (slot) => slot.run === run && slot.seq <= lastSeq);
      if (kept === undefined) this.#durable.delete(userId);
      else if (kept !== head) this.#durable.set(userId, kept);
    }
  }

  /**
   * It grows with each settlement: a store look-up begun at an older count may have missed what was
   * settled since.
   */
  get settlements(): number {
    return this.#settlements;
  }

  /** So many users have a durable entry here. */
  get users(): number {
    return this.#durable.size;
  }

  /**
   * Keeps the order of the slots: from the newest to the oldest each is settled later than the one
   * before.
   */
  #placeBehind(head: Slot, slot: Slot): void {
    let at = head;
    for (let place = 1; place < MAX_SLOTS_PER_USER; place++) {
      if (isSettledBefore(slot, at) || isSame(slot, at)) return;
      const { next } = at;
      if (next === undefined || compareVersions(slot, next) > 0) {
        slot.next = this.#skipSettledEarlier(next, slot);
        at.next = slot;
        return this.#cut(head);
      }
      at = next;
    }
  }

  #cut(head: Slot): void {
    let last: Slot | undefined = head;
    for (let place = 1; place < MAX_SLOTS_PER_USER; place++) last = last?.next;
    if (last?.next === undefined) return;
    this.#valueBytes -= sizeOf(last.next.value);
    last.next = undefined;
  }

  /** Returns what is left of `rest`, all of it older than `slot`. */
  #skipSettledEarlier(rest: Slot | undefined, slot: Slot): Slot | undefined {
    let at = rest;
    while (at !== undefined && (isSettledBefore(at, slot) || isSame(at, slot))) {
      this.#valueBytes -= sizeOf(at.value);
      at = at.next;
    }
    return at;
  }

  #release(head: Slot, isReleased: (slot: Slot) => boolean): Slot | undefined {
    let kept: Slot | undefined;
    let last: Slot | undefined;
    for (let at: Slot | undefined = head; at !== undefined; at = at.next) {
      if (isReleased(at)) this.#valueBytes -= sizeOf(at.value);
      else {
        if (last === undefined) kept = at;
        else last.next = at;
        last = at;
      }
    }
    if (last !== undefined) last.next = undefined;
    return kept;
  }

  /**
   * Reads the entry from the journal. One that is gone from there in the meantime is settled: then
   * the next one counts.
   */
  async #read(slot: Slot): Promise<Entry | undefined> {
    for (let at: Slot | undefined = slot; at !== undefined; at = at.next) {
      const entry = await this.readFromJournal(at.run, at.seq);
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

/**
 * Compares two entries by when they are settled, which is in the order in which they were accepted,
 * over all runs of an instance: its acceptance times never go back, and no two runs share a
 * millisecond.
 */
function isSettledBefore(a: Version, b: Version): boolean {
  return a.acceptedMs < b.acceptedMs || (a.acceptedMs === b.acceptedMs && a.seq < b.seq);
}

function isSame(a: Version, b: Version): boolean {
  return a.run === b.run && a.seq === b.seq;
}

function sizeOf(value: PackedText | undefined): number {
  if (value === undefined) return 0;
  return typeof value === "string" ? value.length * 2 : value.length;
}
