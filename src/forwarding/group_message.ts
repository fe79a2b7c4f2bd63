/**
 * Encodes and decodes a group as one message of a broker. All numbers are big-endian.
 *
 *     magic "DSPG" | crc u32 | version u8 | source length u8, source | run length u8, run
 *     | first f64 | last f64 | records u32 | records | store length u8, store
 *     | what a later version adds
 *     record: length u32 | seq f64 | acceptedMs f64 | ts f64 | flags u8 | userId length u16, userId
 *     | value length u32, value | fields, as far as the length goes: type u8, length u16, bytes
 *
 * CRC-32C covers all that follows it. `length` counts what follows it, so that an older version
 * passes over what a newer one adds; what an older version must not pass over has a flag.
 */
import crc32c from "crc-32/crc32c";
import type { Entry } from "../domain.ts";
import type { EntryGroup } from "../ports/group_store.ts";
import {
  TRACE_CONTEXT_BYTES,
  type TraceContext,
  traceContextBytes,
  traceContextOf,
} from "../trace_context.ts";

/** A message is no group that this version can read; its text says why, for a person. */
export class UndecodableError extends Error {
  override readonly name = "UndecodableError";
}

const MAGIC = 0x44535047;
const VERSION = 1;
const CRC_AT = 4;
const BODY_AT = 8;
const RECORD_HEAD_BYTES = 4 + 8 * 3 + 1 + 2 + 4;
const FIELD_HEAD_BYTES = 1 + 2;
/** The fields that this version knows. */
const TRACE_CONTEXT = 1;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encodeGroup(group: EntryGroup): Uint8Array {
  const { source, first, last, entries, store = "" } = group;
  const run = entries[0]?.run ?? "";
  const texts = entries.map(({ userId, value }) =>
    [encoder.encode(userId), encoder.encode(value)] as const
  );
  const names = [encoder.encode(source), encoder.encode(run)] as const;
  const storeName = encoder.encode(store);
  const recordsBytes = texts.reduce(
    (sum, [userId, value], i) =>
      sum + RECORD_HEAD_BYTES + userId.length + value.length + fieldsBytes(entries[i]!),
    0,
  );
  const headBytes = BODY_AT + 1 + 1 + names[0].length + 1 + names[1].length + 8 * 2 + 4;
  const writer = new Writer(headBytes + recordsBytes + 1 + storeName.length);
  writer.u32(MAGIC);
  writer.u32(0);
  writer.u8(VERSION);
  for (const name of names) {
    writer.u8(name.length);
    writer.bytesOf(name);
  }
  writer.f64(first);
  writer.f64(last);
  writer.u32(entries.length);
  for (const [i, entry] of entries.entries()) writer.record(entry, texts[i]!);
  writer.u8(storeName.length);
  writer.bytesOf(storeName);
  writer.sign();
  return writer.bytes;
}

function fieldsBytes({ trace }: Entry): number {
  return trace === undefined ? 0 : FIELD_HEAD_BYTES + TRACE_CONTEXT_BYTES;
}

/** @throws UndecodableError */
export function decodeGroup(bytes: Uint8Array): EntryGroup {
  try {
    return new Reader(bytes).group();
  } catch (error) {
    if (error instanceof UndecodableError) throw error;
    // A length pointed out of the message, or a text is not UTF-8.
    throw new UndecodableError("its lengths or texts do not fit", { cause: error });
  }
}

class Writer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(value: number): void {
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  f64(value: number): void {
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  bytesOf(value: Uint8Array): void {
    this.bytes.set(value, this.#at);
    this.#at += value.length;
  }

  record(entry: Entry, [userId, value]: readonly [Uint8Array, Uint8Array]): void {
    this.u32(RECORD_HEAD_BYTES - 4 + userId.length + value.length + fieldsBytes(entry));
    this.f64(entry.seq);
    this.f64(entry.acceptedMs);
    this.f64(entry.ts);
    this.u8(0);
    this.#u16(userId.length);
    this.bytesOf(userId);
    this.u32(value.length);
    this.bytesOf(value);
    if (entry.trace === undefined) return;
    this.u8(TRACE_CONTEXT);
    this.#u16(TRACE_CONTEXT_BYTES);
    this.bytesOf(traceContextBytes(entry.trace));
  }

  #u16(value: number): void {
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
  }

  sign(): void {
    this.#view.setUint32(CRC_AT, crc32c.buf(this.bytes.subarray(BODY_AT)) >>> 0);
  }
}

class Reader {
  readonly #view: DataView;
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  group(): EntryGroup {
    if (this.bytes.length < BODY_AT + 1 || this.#u32() !== MAGIC) {
      throw new UndecodableError("it does not begin as a message of dsproxy");
    }
    const crc = this.#u32();
    if (crc !== (crc32c.buf(this.bytes.subarray(BODY_AT)) >>> 0)) {
      throw new UndecodableError("its checksum does not match");
    }
    const version = this.#u8();
    if (version !== VERSION) {
      throw new UndecodableError(`it has version ${version}, which this dsproxy does not know`);
    }
    const source = this.#text(this.#u8());
    const run = this.#text(this.#u8());
    const first = this.#f64();
    const last = this.#f64();
    const entries = Array.from({ length: this.#u32() }, () => this.#record(run));
    refuseUnordered(first, last, entries);
    const store = this.#isAtEnd ? "" : this.#text(this.#u8());
    return { source, first, last, entries, ...(store !== "" && { store }) };
  }

  #record(run: string): Entry {
    const length = this.#u32();
    const end = this.#at + length;
    const seq = this.#f64();
    const acceptedMs = this.#f64();
    const ts = this.#f64();
    const flags = this.#u8();
    if (flags !== 0) {
      throw new UndecodableError(`a record has flags ${flags}, which this dsproxy does not know`);
    }
    const userId = this.#text(this.#u16());
    const value = this.#text(this.#u32());
    if (this.#at > end) throw new UndecodableError("a record is longer than it says");
    const trace = this.#at < end ? this.#traceBefore(end) : undefined;
    this.#at = end;
    return { userId, value, ts, acceptedMs, run, seq, ...(trace !== undefined && { trace }) };
  }

  /** Passes over the fields of a record that are not known, and over what is no field at all. */
  #traceBefore(end: number): TraceContext | undefined {
    while (this.#at + FIELD_HEAD_BYTES <= end) {
      const type = this.#u8();
      const length = this.#u16();
      if (this.#at + length > end) return undefined;
      const bytes = this.bytes.subarray(this.#at, this.#at + length);
      this.#at += length;
      if (type === TRACE_CONTEXT) return traceContextOf(bytes);
    }
    return undefined;
  }

  get #isAtEnd(): boolean {
    return this.#at === this.bytes.length;
  }

  #u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  #u16(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2);
  }

  #u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  #f64(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8);
  }

  #text(length: number): string {
    this.#at += length;
    if (this.#at > this.bytes.length) throw new UndecodableError("it ends too early");
    return decoder.decode(this.bytes.subarray(this.#at - length, this.#at));
  }
}

function refuseUnordered(first: number, last: number, entries: readonly Entry[]): void {
  let before = first - 1;
  const isInterval = Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 1 &&
    last >= first;
  const isOrdered = entries.every(({ seq }) => {
    const fits = Number.isSafeInteger(seq) && seq > before && seq <= last;
    before = seq;
    return fits;
  });
  if (!isInterval || !isOrdered) {
    throw new UndecodableError(`its numbers are not within ${first} to ${last}, in order`);
  }
}
