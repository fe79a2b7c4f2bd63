/**
 * Keeps the newest accepted entry of every user that the store may not have yet, which makes a
 * write readable at once. Durable values are held up to a byte budget; past it only their places
 * are, and the journal gives the value back from disk.
 */
import { compareVersions, type Entry, type Version } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { type PackedText, packText, unpackText } from "../packed.ts";
import type { Intake } from "../ports/intake.ts";
import { NONE, SlotTable } from "./slot_table.ts";
import { UserKey } from "./user_key.ts";
import { VolatileEntries } from "./volatile_entries.ts";

/**
 * Each user with a write that waits for the store costs some 100 bytes of memory, and the id; the
 * writes themselves are on disk.
 */
export const PENDING_USERS_MAX = 1_000_000;

/**
 * There are no more than so many, so that whoever writes ever older versions gets no more memory
 * for it.
 */
const MAX_SLOTS_PER_USER = 16;

/**
 * Users are divided among so many tables, by the first bits of their hashes, so that a table of a
 * million users is built anew in a millisecond.
 */
const TABLES_BITS = 6;

/**
 * A user's slots go from the newest to the oldest, and each is settled later than the one before:
 * it counts when that one is settled, and above all when the store refuses it. Older entries that
 * are settled earlier need no slot.
 */
export class Pending {
  readonly #tables = Array.from({ length: 1 << TABLES_BITS }, () => new SlotTable());
  readonly #key = new UserKey();
  readonly #runs: string[] = [];
  readonly #runNumbers = new Map<string, number>();
  #users = 0;
  readonly #volatile = new VolatileEntries();
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
    this.#volatile.add(entry);
  }

  /** Adds an entry that has just become durable. */
  addDurable(entry: Entry): void {
    this.#add(entry, true);
  }

  /**
   * Adds an entry that an earlier run accepted, or that was settled once and is not any more. Its
   * value is left on disk: a start adds a million, and to hold values of some would take it a
   * quarter longer.
   */
  addFromJournal(entry: Entry): void {
    this.#add(entry, false);
  }

  #add(entry: Entry, holdsValue: boolean): void {
    if (!this.#volatile.isEmpty) this.#volatile.remove(entry);
    const table = this.#tableOf(entry.userId);
    table.reserve(this.#key);
    const run = this.#runNumber(entry.run);
    let first = table.find(this.#key);
    if (first === NONE) {
      first = table.add(entry, run);
      table.addUser(this.#key, first);
      this.#users++;
    } else if (this.#compare(entry, table, first) <= 0) {
      return this.#placeBehind(table, first, entry, run);
    } else if (settledAfter(table, first, entry) >= 0) {
      this.#valueBytes -= sizeOf(table.value(first));
      table.set(first, entry, run);
      table.setNext(first, this.#skipSettledEarlier(table, table.next(first), entry));
    } else {
      const slot = table.add(entry, run);
      table.setNext(slot, first);
      table.replaceFirst(first, slot);
      this.#cut(table, slot);
      first = slot;
    }
    if (holdsValue) this.#holdValue(table, first, entry.value);
  }

  /**
   * Takes back an entry that was added before it was durable and never became so. Returns true when
   * it was there.
   */
  withdraw(entry: Entry): boolean {
    return this.#volatile.remove(entry);
  }

  has(userId: string): boolean {
    if (this.#users > 0 && this.#tableOf(userId).find(this.#key) !== NONE) return true;
    return this.#volatile.has(userId);
  }

  get(userId: string): Entry | undefined | Promise<Entry | undefined> {
    const volatile = this.#volatile.isEmpty ? undefined : this.#volatile.newest(userId);
    if (this.#users === 0) return volatile;
    const table = this.#tableOf(userId);
    const slot = table.find(this.#key);
    if (slot === NONE) return volatile;
    const version = {
      ts: table.ts(slot),
      acceptedMs: table.acceptedMs(slot),
      run: this.#runs[table.run(slot)]!,
      seq: table.seq(slot),
    };
    if (volatile !== undefined && compareVersions(volatile, version) > 0) return volatile;
    const value = table.value(slot);
    if (value === undefined) return this.#read(table, slot);
    return { userId, value: unpackText(value), ...version };
  }

  /**
   * Lets go of these users' slots of that run through `lastSeq`, as the entries are in the store,
   * and the cache knows. Slots of other runs are settled by themselves.
   */
  settle(entries: readonly Entry[], lastSeq: number): void {
    this.#settlements++;
    const run = this.#runNumbers.get(entries[0]?.run ?? "");
    if (run === undefined) return;
    for (const { userId } of entries) {
      const table = this.#tableOf(userId);
      const head = table.find(this.#key);
      if (head !== NONE) this.#release(table, head, run, lastSeq);
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
    return this.#users;
  }

  /** Sets the key to the user id, and returns the table in which the user is, or would be. */
  #tableOf(userId: string): SlotTable {
    this.#key.set(userId);
    return this.#tables[this.#key.hash >>> (32 - TABLES_BITS)]!;
  }

  #runNumber(run: string): number {
    let number = this.#runNumbers.get(run);
    if (number === undefined) {
      number = this.#runs.push(run) - 1;
      this.#runNumbers.set(run, number);
    }
    return number;
  }

  #holdValue(table: SlotTable, slot: number, value: string): void {
    if (this.#valueBytes + value.length * 2 > this.valueBudgetBytes) return;
    const packed = packText(value);
    this.#valueBytes += sizeOf(packed);
    table.setValue(slot, packed);
  }

  /** Compares an entry with that of a slot, as {@link compareVersions} does. */
  #compare({ ts, acceptedMs, run, seq }: Version, table: SlotTable, slot: number): number {
    const difference = ts - table.ts(slot) || acceptedMs - table.acceptedMs(slot);
    if (difference !== 0) return difference;
    const other = this.#runs[table.run(slot)]!;
    return run === other ? seq - table.seq(slot) : run < other ? -1 : 1;
  }

  /** Keeps the order of the slots; the entry may need no place. */
  #placeBehind(table: SlotTable, first: number, entry: Version, run: number): void {
    let at = first;
    for (let place = 1; place < MAX_SLOTS_PER_USER; place++) {
      if (settledAfter(table, at, entry) <= 0) return;
      const next = table.next(at);
      if (next === NONE || this.#compare(entry, table, next) > 0) {
        const slot = table.add(entry, run);
        table.setNext(slot, this.#skipSettledEarlier(table, next, entry));
        table.setNext(at, slot);
        return this.#cut(table, first);
      }
      at = next;
    }
  }

  #cut(table: SlotTable, head: number): void {
    let last = head;
    for (let place = 1; place < MAX_SLOTS_PER_USER && last !== NONE; place++) {
      last = table.next(last);
    }
    if (last === NONE) return;
    const beyond = table.next(last);
    if (beyond === NONE) return;
    table.setNext(last, NONE);
    this.#give(table, beyond);
  }

  /** Returns what is left of `rest`, all of it older than the entry. */
  #skipSettledEarlier(table: SlotTable, rest: number, entry: Version): number {
    let at = rest;
    while (at !== NONE && settledAfter(table, at, entry) >= 0) {
      const next = table.next(at);
      this.#give(table, at);
      at = next;
    }
    return at;
  }

  #release(table: SlotTable, head: number, run: number, lastSeq: number): void {
    let kept = NONE;
    let last = NONE;
    for (let at = head, next; at !== NONE; at = next) {
      next = table.next(at);
      // The first one is given back last, as it names the user.
      if (table.run(at) !== run || table.seq(at) > lastSeq) {
        if (last === NONE) kept = at;
        else table.setNext(last, at);
        last = at;
      } else if (at !== head) this.#give(table, at);
    }
    if (last !== NONE) table.setNext(last, NONE);
    if (kept === head) return;
    if (kept === NONE) {
      table.removeUser(head);
      this.#users--;
    } else table.replaceFirst(head, kept);
    this.#give(table, head);
    table.shrink();
  }

  #give(table: SlotTable, slot: number): void {
    this.#valueBytes -= sizeOf(table.value(slot));
    table.give(slot);
  }

  /**
   * Reads the entry from the journal. One that is gone from there in the meantime is settled: then
   * the next one counts.
   */
  async #read(table: SlotTable, slot: number): Promise<Entry | undefined> {
    // Slots are moved and given away while the disk is asked.
    const places: { readonly run: string; readonly seq: number }[] = [];
    for (let at = slot; at !== NONE; at = table.next(at)) {
      places.push({ run: this.#runs[table.run(at)]!, seq: table.seq(at) });
    }
    for (const { run, seq } of places) {
      const entry = await this.readFromJournal(run, seq);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }
}

/**
 * Returns a positive number when the entry is settled after that of the slot, and 0 when they are
 * the same. They are settled in the order in which they were accepted, over all runs of an
 * instance: its acceptance times never go back, and no two runs share a millisecond.
 */
function settledAfter(table: SlotTable, slot: number, { acceptedMs, seq }: Version): number {
  return acceptedMs - table.acceptedMs(slot) || seq - table.seq(slot);
}

function sizeOf(value: PackedText | undefined): number {
  if (value === undefined) return 0;
  return typeof value === "string" ? value.length * 2 : value.length;
}
