/**
 * Entries that are kept for a while: a long value as bytes outside the JavaScript heap. V8 lets its
 * heap grow to a multiple of what is alive in it before it collects garbage, so each byte kept
 * there costs several; outside it costs one.
 */
import type { Entry } from "./domain.ts";

/** Shorter ones cost less as text: bytes are an object of 200 bytes, and a conversion each time. */
const LONG_UNITS = 4 * 1024;
/**
 * What an entry, or anything else that is kept by itself, costs besides its value: its objects, its
 * place in a map. Deliberately on the high side: 180 bytes were measured in an LRU cache.
 */
const OVERHEAD_BYTES = 256;

/** A value, or what {@link packText} made of it. */
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

/** At most: text that is all Latin-1 takes half of it. */
export function bytesOf({ userId, value }: Pick<PackedEntry, "userId" | "value">): number {
  return OVERHEAD_BYTES + 2 * userId.length +
    (typeof value === "string" ? 2 * value.length : value.byteLength);
}
