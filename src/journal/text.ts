/**
 * Turns the text of records into bytes and back. Most of it is short and ASCII: then no view is made
 * for it, and no call leaves JavaScript to encode it.
 */
import { Buffer } from "node:buffer";

/** Longer text is faster with the encoder. */
const SHORT_UNITS = 128;

const encoder = new TextEncoder();
// A byte order mark at the beginning of a value is part of it.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Writes text at `at`, where there is room for three bytes a unit; returns the bytes written. */
export function writeText(text: string, bytes: Uint8Array, at: number): number {
  const units = text.length;
  if (units > SHORT_UNITS) return encoder.encodeInto(text, bytes.subarray(at)).written;
  for (let i = 0; i < units; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return encoder.encodeInto(text, bytes.subarray(at)).written;
    bytes[at + i] = unit;
  }
  return units;
}

/** Reads the text in the bytes from `from` to `to`. */
export function readText(bytes: Uint8Array, from: number, to: number): string {
  let bits = to - from > SHORT_UNITS ? 0x80 : 0;
  for (let at = from; at < to && bits < 0x80; at++) bits |= bytes[at]!;
  if (bits > 0x7f) return decoder.decode(bytes.subarray(from, to));
  return Buffer.prototype.latin1Slice.call(bytes, from, to);
}
