/**
 * Packs entries that are kept for a while: a long value becomes bytes outside the JavaScript heap.
 * V8 lets its heap grow to a multiple of what is alive in it before it collects garbage, so each
 * byte kept there costs several; outside it costs one.
 */
import type { Entry } from "./domain.ts";

/**
 * Shorter values cost less as text: bytes are an object of 200 bytes, and a conversion each time.
 */
const LONG_UNITS = 4 * 1024;
/**
 * An entry, or anything else that is kept by itself, costs so much besides its value, for its
 * objects and its place in a map. This is deliberately on the high side: 180 bytes were measured in
 * an LRU cache.
 */
const OVERHEAD_BYTES = 256;

/** It is a value, or what {@link packText} made of it. */
export type PackedText = string | Uint8Array;

export type PackedEntry = Omit<Entry, "value"> & { readonly value: PackedText };

const encoder = new TextEncoder();
// A byte order mark at the beginning of a value is part of it.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export function packText(text: string): PackedText {
  return text.length < LONG_UNITS ? text : encoder.encode(text);
}

export function unpackText(packed: PackedText): string {
  return typeof packed === "string" ? packed : decoder.decode(packed);
}

export function pack(entry: Entry): PackedEntry {
  return entry.value.length < LONG_UNITS ? entry : { ...entry, value: packText(entry.value) };
}

export function unpack(packed: PackedEntry): Entry {
  const { value } = packed;
  return typeof value === "string" ? packed as Entry : { ...packed, value: unpackText(value) };
}

/** Returns the bytes that an entry takes at most: text that is all Latin-1 takes half of that. */
export function bytesOf({ userId, value }: Pick<PackedEntry, "userId" | "value">): number {
  return OVERHEAD_BYTES + 2 * userId.length +
    (typeof value === "string" ? 2 * value.length : value.byteLength);
}
