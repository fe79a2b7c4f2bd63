/**
 * Keeps slots, one or a chain of them for each user, in typed arrays and outside the JavaScript
 * heap: some 70 bytes a user, which the garbage collector never walks through. Users are found by
 * open addressing with linear probing. A table grows and shrinks by being built anew, so that the
 * caller divides users among many small ones.
 */
import type { Version } from "../domain.ts";
import type { PackedText } from "../packed.ts";
import type { UserKey } from "./user_key.ts";

/** It is no slot. */
export const NONE = -1;
/** A slot has three numbers of 64 bits … */
const SLOT_NUMBERS = 5;
const TS = 0;
const ACCEPTED_MS = 1;
const SEQ = 2;
/** … and behind them four of 32; the last two only count in the first slot of a user. */
const SLOT_LINKS = 2 * SLOT_NUMBERS;
/** It is twice the run, and one more when the value is held. */
const RUN = 6;
const NEXT = 7;
const KEY_AT = 8;
const HASH = 9;

/** Before the bytes of a key stands their number, in two bytes. */
const KEY_HEAD_BYTES = 2;

const FIRST_SLOTS = 16;
const FIRST_KEY_BYTES = 512;
/** A table with so many places is not made smaller: what comes and goes each moment fits in it. */
const KEPT_SLOTS = 256;

export class SlotTable {
  /** Both are views of the same bytes, so that a slot is in one place of the memory. */
  #numbers = new Float64Array(0);
  #links = new Int32Array(0);
  /** It has room for all slots from the start, as an array with gaps would become a slow one. */
  #values: (PackedText | undefined)[] = [];
  /** Of each place the first slot of a user, plus one; 0 is a place that is free. */
  #index = new Uint32Array(1);
  #keys = new Uint8Array(0);
  #keyEnd = 0;
  #unusedKeyBytes = 0;
  /** So many slots were ever taken; those given back are chained. */
  #taken = 0;
  #free = NONE;
  #slots = 0;
  #users = 0;

  ts(slot: number): number {
    return this.#numbers[slot * SLOT_NUMBERS + TS]!;
  }

  acceptedMs(slot: number): number {
    return this.#numbers[slot * SLOT_NUMBERS + ACCEPTED_MS]!;
  }

  seq(slot: number): number {
    return this.#numbers[slot * SLOT_NUMBERS + SEQ]!;
  }

  setValue(slot: number, value: PackedText): void {
    this.#links[slot * SLOT_LINKS + RUN]! |= 1;
    this.#values[slot] = value;
  }

  /** The run is a small number that stands for its name. */
  run(slot: number): number {
    return this.#links[slot * SLOT_LINKS + RUN]! >>> 1;
  }

  value(slot: number): PackedText | undefined {
    return (this.#links[slot * SLOT_LINKS + RUN]! & 1) === 0 ? undefined : this.#values[slot];
  }

  /** It is the next slot of the same user, or {@link NONE}. */
  next(slot: number): number {
    return this.#links[slot * SLOT_LINKS + NEXT]!;
  }

  setNext(slot: number, next: number): void {
    this.#links[slot * SLOT_LINKS + NEXT] = next;
  }

  /** Makes room for one slot and this key. Slots have other numbers afterwards. */
  reserve({ length }: UserKey): void {
    if (this.#free === NONE && this.#taken * SLOT_LINKS === this.#links.length) this.#growSlots();
    const keyEnd = this.#keyEnd + KEY_HEAD_BYTES + length;
    if (keyEnd <= this.#keys.length) return;
    const usedBytes = keyEnd - this.#unusedKeyBytes;
    if (this.#unusedKeyBytes > usedBytes) {
      return this.#rebuild(this.#capacity, Math.max(this.#keys.length, 2 * usedBytes));
    }
    const keys = new Uint8Array(Math.max(FIRST_KEY_BYTES, 2 * keyEnd));
    keys.set(this.#keys);
    this.#keys = keys;
  }

  /** Returns the first slot of the user, or {@link NONE}. */
  find(key: UserKey): number {
    const mask = this.#index.length - 1;
    for (let place = key.hash & mask;; place = (place + 1) & mask) {
      const slot = this.#index[place]! - 1;
      if (slot === NONE || this.#isOf(slot, key)) return slot;
    }
  }

  /** Takes a slot, for which there is room, and which is nobody's yet. */
  add(version: Version, run: number): number {
    let slot = this.#free;
    if (slot === NONE) slot = this.#taken++;
    else this.#free = this.next(slot);
    this.set(slot, version, run);
    this.#links[slot * SLOT_LINKS + NEXT] = NONE;
    this.#slots++;
    return slot;
  }

  /** Lets a slot stand for another entry of its user, whose value is not held. */
  set(slot: number, { ts, acceptedMs, seq }: Version, run: number): void {
    const numbers = this.#numbers;
    numbers[slot * SLOT_NUMBERS + TS] = ts;
    numbers[slot * SLOT_NUMBERS + ACCEPTED_MS] = acceptedMs;
    numbers[slot * SLOT_NUMBERS + SEQ] = seq;
    this.#dropValue(slot);
    this.#links[slot * SLOT_LINKS + RUN] = run * 2;
  }

  /** Gives back a slot that is nobody's any more. */
  give(slot: number): void {
    this.#dropValue(slot);
    this.setNext(slot, this.#free);
    this.#free = slot;
    this.#slots--;
  }

  /** Makes `slot` the first of a user who has none, for whose key there is room. */
  addUser(key: UserKey, slot: number): void {
    this.#links[slot * SLOT_LINKS + KEY_AT] = this.#keyEnd;
    this.#links[slot * SLOT_LINKS + HASH] = key.hash;
    const keys = this.#keys;
    let at = this.#keyEnd;
    keys[at++] = key.length & 0xff;
    keys[at++] = key.length >>> 8;
    for (let i = 0; i < key.length; i++) keys[at++] = key.bytes[i]!;
    this.#keyEnd = at;
    this.#users++;
    this.#enter(slot);
  }

  /** Makes `slot` the first of the user whose first one is `head`. */
  replaceFirst(head: number, slot: number): void {
    this.#index[this.#placeOf(head)] = slot + 1;
    this.#links[slot * SLOT_LINKS + KEY_AT] = this.#links[head * SLOT_LINKS + KEY_AT]!;
    this.#links[slot * SLOT_LINKS + HASH] = this.#links[head * SLOT_LINKS + HASH]!;
  }

  /** Forgets the user whose first slot is `head`. */
  removeUser(head: number): void {
    const keyAt = this.#links[head * SLOT_LINKS + KEY_AT]!;
    this.#unusedKeyBytes += this.#keyBytes(keyAt);
    this.#users--;
    this.#leave(this.#placeOf(head));
    if (this.#users === 0) this.#keyEnd = this.#unusedKeyBytes = 0;
  }

  /** Makes the table smaller when it is nearly empty. Slots have other numbers afterwards. */
  shrink(): void {
    const capacity = this.#capacity;
    const keyBytes = this.#keyEnd - this.#unusedKeyBytes;
    const isLarge = capacity > KEPT_SLOTS || this.#keys.length > KEPT_SLOTS * 64;
    if (!isLarge || this.#slots * 4 > capacity || keyBytes * 4 > this.#keys.length) return;
    this.#rebuild(Math.max(FIRST_SLOTS, this.#slots * 2), Math.max(FIRST_KEY_BYTES, keyBytes * 2));
  }

  #dropValue(slot: number): void {
    if ((this.#links[slot * SLOT_LINKS + RUN]! & 1) === 0) return;
    this.#links[slot * SLOT_LINKS + RUN]! ^= 1;
    this.#values[slot] = undefined;
  }

  #isOf(slot: number, key: UserKey): boolean {
    const links = this.#links;
    if (links[slot * SLOT_LINKS + HASH] !== key.hash) return false;
    const keys = this.#keys;
    let at = links[slot * SLOT_LINKS + KEY_AT]!;
    if ((keys[at]! | keys[at + 1]! << 8) !== key.length) return false;
    at += KEY_HEAD_BYTES;
    for (let i = 0; i < key.length; i++) if (keys[at + i] !== key.bytes[i]) return false;
    return true;
  }

  #keyBytes(keyAt: number): number {
    return KEY_HEAD_BYTES + (this.#keys[keyAt]! | this.#keys[keyAt + 1]! << 8);
  }

  #placeOf(head: number): number {
    const mask = this.#index.length - 1;
    let place = this.#links[head * SLOT_LINKS + HASH]! & mask;
    while (this.#index[place] !== head + 1) place = (place + 1) & mask;
    return place;
  }

  #enter(head: number): void {
    const mask = this.#index.length - 1;
    let place = this.#links[head * SLOT_LINKS + HASH]! & mask;
    while (this.#index[place] !== 0) place = (place + 1) & mask;
    this.#index[place] = head + 1;
  }

  /** Frees a place; those that stand behind it because it was taken move up. */
  #leave(hole: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    for (let place = (hole + 1) & mask; index[place] !== 0; place = (place + 1) & mask) {
      const wanted = this.#links[(index[place]! - 1) * SLOT_LINKS + HASH]! & mask;
      if (((place - wanted) & mask) < ((place - hole) & mask)) continue;
      index[hole] = index[place]!;
      hole = place;
    }
    index[hole] = 0;
  }

  get #capacity(): number {
    return this.#links.length / SLOT_LINKS;
  }

  #growSlots(): void {
    const capacity = this.#capacity;
    // The more there is, the less of it may be unused.
    const grown = Math.max(FIRST_SLOTS, Math.ceil(capacity * (capacity < 4_096 ? 2 : 1.5)));
    const numbers = new Float64Array(grown * SLOT_NUMBERS);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
    this.#links = new Int32Array(numbers.buffer);
    const values = new Array<PackedText | undefined>(grown);
    for (let slot = 0; slot < capacity; slot++) values[slot] = this.#values[slot];
    this.#values = values;
    const index = this.#index;
    if (indexLength(grown) === index.length) return;
    this.#index = new Uint32Array(indexLength(grown));
    for (const entered of index) if (entered !== 0) this.#enter(entered - 1);
  }

  /** Copies all that is kept into new arrays, so that no unused slot or key is among it. */
  #rebuild(capacity: number, keyBytes: number): void {
    const before = {
      numbers: this.#numbers,
      links: this.#links,
      values: this.#values,
      index: this.#index,
      keys: this.#keys,
    };
    this.#numbers = new Float64Array(capacity * SLOT_NUMBERS);
    this.#links = new Int32Array(this.#numbers.buffer);
    this.#values = new Array<PackedText | undefined>(capacity);
    this.#index = new Uint32Array(indexLength(capacity));
    this.#keys = new Uint8Array(keyBytes);
    this.#keyEnd = this.#unusedKeyBytes = this.#taken = 0;
    this.#free = NONE;
    for (const entered of before.index) {
      let last = NONE;
      for (let from = entered - 1; from !== NONE; from = before.links[from * SLOT_LINKS + NEXT]!) {
        const slot = this.#copy(from, before);
        if (last === NONE) this.#copyUser(slot, before.keys);
        else this.setNext(last, slot);
        last = slot;
      }
    }
  }

  #copy(
    from: number,
    { numbers, values }: {
      readonly numbers: Float64Array;
      readonly values: readonly (PackedText | undefined)[];
    },
  ): number {
    const slot = this.#taken++;
    for (let i = 0; i < SLOT_NUMBERS; i++) {
      this.#numbers[slot * SLOT_NUMBERS + i] = numbers[from * SLOT_NUMBERS + i]!;
    }
    this.setNext(slot, NONE);
    this.#values[slot] = values[from];
    return slot;
  }

  #copyUser(head: number, keys: Uint8Array): void {
    const from = this.#links[head * SLOT_LINKS + KEY_AT]!;
    const end = from + KEY_HEAD_BYTES + (keys[from]! | keys[from + 1]! << 8);
    this.#links[head * SLOT_LINKS + KEY_AT] = this.#keyEnd;
    for (let at = from; at < end; at++) this.#keys[this.#keyEnd++] = keys[at]!;
    this.#enter(head);
  }
}

/** Returns a power of two of which at most two thirds are in use. */
function indexLength(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(capacity * 1.5));
}
