/**
 * Says what of a request is told as spans: the seam between what the service does and whoever
 * carries the spans away. Whether a request is told at all is decided once, when it comes in,
 * before anything is made; what it writes carries its context on, through journal and broker. Where
 * nothing is traced, {@link NO_TRACING} stands in, which makes nothing.
 */
import type { Entry } from "../domain.ts";
import type { TraceContext } from "../trace_context.ts";

/** Something that has begun, and is told once it has come to its end. */
export interface Step {
  readonly context: TraceContext;
  /** It came to nothing: of the reason only its kind is told, as its text may quote a value. */
  fail(error: unknown): void;
  /** To be called once; nothing can be said of it afterwards. */
  end(): void;
}

/** A request that is sampled. Log lines and exemplars name it by its context. */
export interface RequestTrace {
  readonly context: TraceContext;
  /** Begins a look-up for it, in the tier of this name. */
  lookUp(tier: "cache" | "store"): Step;
  /** It was answered with this status, after which nothing more is said of it. */
  answered(status: number): void;
}

/** What the journal does with one sampled write. */
export interface CommitTrace {
  /** It is on disk, together with so many records in all. */
  durable(records: number): void;
  withdrawn(): void;
}

/** One transaction of the store, in which there are sampled writes. */
export interface FlushTrace {
  readonly context: TraceContext;
  /**
   * The store has it: each sampled write is told in its own trace.
   * @param result by which {@link Tracing.flushOf} finds this, where others go on with it
   */
  stored(result: object): void;
  /** The store does not have it, and it is tried again. */
  failed(error: unknown): void;
  /** Begins what is done after the transaction, which is over by then. */
  after(what: "update cache" | "fold"): Step;
  end(): void;
}

/** A message to the broker that has sampled writes. */
export interface SendTrace {
  /** They carry the contexts under which the worker is to go on. */
  readonly entries: readonly Entry[];
  confirmed(): void;
  failed(error: unknown): void;
}

/** What a worker does with the sampled writes of a message, until it acknowledges that. */
export interface ProcessTrace {
  readonly contexts: readonly TraceContext[];
  fail(error: unknown): void;
  end(): void;
}

export interface Tracing {
  /**
   * Undefined unless this request is sampled.
   * @param traceparent asked only while something is traced
   * @param route the path of a resource; undefined where there is none
   */
  request(
    traceparent: () => string | null,
    method: string,
    route: string | undefined,
  ): RequestTrace | undefined;
  /** Begins to make a sampled write durable. */
  commit(write: TraceContext): CommitTrace;
  /**
   * Begins a transaction of so many rows; undefined where none of them is sampled.
   * @param writes returns those that are; asked only while something is traced
   */
  flush(writes: () => readonly TraceContext[], rows: number): FlushTrace | undefined;
  /** Returns the flush that ended with this result; undefined where it is not told. */
  flushOf(result: object): FlushTrace | undefined;
  /** Undefined where none of these is sampled. */
  send(entries: readonly Entry[]): SendTrace | undefined;
  /** Undefined where none of these is sampled. */
  process(entries: readonly Entry[]): ProcessTrace | undefined;
  /** An attendant is started; this one waits for the first span. */
  start(): void;
  /** Carries away what is left, for a moment at most, and ends. */
  stop(): Promise<void>;
}

export const NO_TRACING: Tracing = {
  request: () => undefined,
  commit: () => ({ durable: () => {}, withdrawn: () => {} }),
  flush: () => undefined,
  flushOf: () => undefined,
  send: () => undefined,
  process: () => undefined,
  start: () => {},
  stop: () => Promise.resolve(),
};

const NONE: readonly TraceContext[] = [];

/** Returns the contexts of those that are sampled, which most often are none. */
export function contextsOf(entries: readonly Entry[]): readonly TraceContext[] {
  let found: TraceContext[] | undefined;
  for (const { trace } of entries) if (trace !== undefined) (found ??= []).push(trace);
  return found ?? NONE;
}

/** Carries out a transaction for these, and tells it where sampled writes are among them. */
export async function toldFlush<T extends object>(
  tracing: Pick<Tracing, "flush"> | undefined,
  entries: readonly Entry[],
  transaction: () => Promise<T>,
): Promise<T> {
  const flush = tracing?.flush(() => contextsOf(entries), entries.length);
  try {
    const result = await transaction();
    flush?.stored(result);
    flush?.end();
    return result;
  } catch (error) {
    flush?.failed(error);
    throw error;
  }
}

/** Waits for what is done after a flush, which it ends, whatever comes of it. */
export async function toldAfter(
  flush: FlushTrace | undefined,
  what: Parameters<FlushTrace["after"]>[0],
  work: Promise<void>,
): Promise<void> {
  const step = flush?.after(what);
  try {
    await work;
  } catch (error) {
    step?.fail(error);
    throw error;
  } finally {
    step?.end();
    flush?.end();
  }
}

/** Waits for a look-up; of a sampled request it tells how long that took, unless it was there. */
export function told<T>(
  trace: RequestTrace | undefined,
  tier: "cache" | "store",
  found: T | Promise<T>,
): T | Promise<T> {
  return trace === undefined || !(found instanceof Promise) ? found : during(trace, tier, found);
}

async function during<T>(
  trace: RequestTrace,
  tier: "cache" | "store",
  found: Promise<T>,
): Promise<T> {
  const step = trace.lookUp(tier);
  try {
    return await found;
  } catch (error) {
    step.fail(error);
    throw error;
  } finally {
    step.end();
  }
}
