/**
 * Names a span of a trace that is sampled, as a write carries it from its request through journal
 * and broker to the store. A write of a request that is not sampled carries none.
 */

export interface TraceContext {
  /** It has 32 hex digits in lower case, not all of them zeros. */
  readonly traceId: string;
  /** It has 16 of them. */
  readonly spanId: string;
}

/** What a caller says of its own trace: also that it is not sampled. */
export interface TraceParent extends TraceContext {
  readonly sampled: boolean;
}

const TRACE_ID_BYTES = 16;
/** A context has so many bytes, wherever it is written. */
export const TRACE_CONTEXT_BYTES = TRACE_ID_BYTES + 8;

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;
/** No version may have this number. */
const NO_VERSION = "ff";

/**
 * Reads the header field `traceparent` of W3C Trace Context. Undefined is what is none, and what is
 * not in order, which is to be passed over as if it were not there.
 */
export function parseTraceparent(text: string | null): TraceParent | undefined {
  const match = text === null ? null : TRACEPARENT.exec(text);
  if (match === null) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", rest] = match;
  // Only a later version may have more behind it.
  if (version === NO_VERSION || (version === "00" && rest !== undefined)) return undefined;
  if (isZero(traceId) || isZero(spanId)) return undefined;
  return { traceId, spanId, sampled: (parseInt(flags, 16) & SAMPLED) !== 0 };
}

function isZero(hex: string): boolean {
  return /^0*$/.test(hex);
}

export function traceContextBytes({ traceId, spanId }: TraceContext): Uint8Array {
  return Uint8Array.fromHex(traceId + spanId);
}

/** Undefined is what no {@link traceContextBytes} has written, and tells nothing. */
export function traceContextOf(bytes: Uint8Array): TraceContext | undefined {
  if (bytes.length !== TRACE_CONTEXT_BYTES) return undefined;
  const traceId = bytes.subarray(0, TRACE_ID_BYTES).toHex();
  const spanId = bytes.subarray(TRACE_ID_BYTES).toHex();
  return isZero(traceId) || isZero(spanId) ? undefined : { traceId, spanId };
}
