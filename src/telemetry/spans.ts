/** Tells what the service does as spans: which there are, how they hang together, what they say. */
import type { Entry } from "../domain.ts";
import { AppError } from "../errors.ts";
import type { TraceContext } from "../trace_context.ts";
import type { Sampler } from "./sampler.ts";
import { type Attributes, DB, HTTP, MESSAGING, OWN } from "./semantic_names.ts";
import { contextsOf } from "./tracing.ts";
import type {
  CommitTrace,
  FlushTrace,
  ProcessTrace,
  RequestTrace,
  SendTrace,
  Step,
  Tracing,
} from "./tracing.ts";

export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";

export interface SpanOptions {
  readonly parent?: TraceContext | undefined;
  readonly links?: readonly TraceContext[];
  readonly attributes?: Attributes;
}

export interface OpenSpan {
  readonly context: TraceContext;
  set(attributes: Attributes): void;
  /** It came to nothing, for a reason of this kind. */
  fail(errorType: string): void;
  end(): void;
}

/** It makes spans, and carries away those that have come to their end. */
export interface SpanMaker {
  begin(name: string, kind: SpanKind, options?: SpanOptions): OpenSpan;
  /** It says that there is no room, and then counts what is not made. */
  refuses(): boolean;
  stop(): Promise<void>;
}

/** What the service talks to, as its spans name it. */
export interface Peers {
  readonly store: { readonly system: string; readonly namespace?: string };
  /** Undefined where copies are kept in this process alone. */
  readonly cacheSystem: string | undefined;
  readonly broker: { readonly system: string; readonly destination: string } | undefined;
}

/** A batch links to so many writes, and so many of them are told in their own traces. */
export const LINKS_MAX = 32;
/** These are asked by machines, all the time: nobody looks for them among what users do. */
const UNTOLD_ROUTES = new Set(["/metrics", "/livez", "/healthz", "/readyz", "/events"]);
const KNOWN_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const TABLE = "user_data";

export class Spans implements Tracing {
  readonly #store: Attributes;
  readonly #flushes = new WeakMap<object, FlushTrace>();

  constructor(
    private readonly maker: SpanMaker,
    private readonly sampler: Sampler,
    private readonly peers: Peers,
  ) {
    const { system, namespace } = peers.store;
    this.#store = {
      [DB.system]: system,
      ...(namespace !== undefined && { [DB.namespace]: namespace }),
    };
  }

  start(): void {}

  stop(): Promise<void> {
    return this.maker.stop();
  }

  request(
    traceparent: () => string | null,
    method: string,
    route: string | undefined,
  ): RequestTrace | undefined {
    const parent = this.sampler.sample(traceparent());
    if (parent === undefined || (route !== undefined && UNTOLD_ROUTES.has(route))) return undefined;
    if (this.maker.refuses()) return undefined;
    const known = KNOWN_METHODS.has(method) ? method : undefined;
    // The path of a client may hold anything, and the query names users: only the route is told.
    const attributes: Attributes = {
      [HTTP.method]: known ?? HTTP.otherMethod,
      [HTTP.scheme]: "http",
      ...(route !== undefined && { [HTTP.route]: route, [HTTP.path]: route }),
    };
    const name = [known ?? "HTTP", ...(route === undefined ? [] : [route])].join(" ");
    const span = this.maker.begin(name, "server", {
      ...(parent !== "root" && { parent }),
      attributes,
    });
    return {
      context: span.context,
      lookUp: (tier) => this.#lookUp(span.context, tier),
      answered: (status) => {
        span.set({ [HTTP.status]: status });
        if (status >= 500) span.fail(String(status));
        span.end();
      },
    };
  }

  commit(write: TraceContext): CommitTrace {
    const span = this.maker.begin("journal commit", "internal", { parent: write });
    return {
      durable: (records) => {
        span.set({ [OWN.groupRecords]: records });
        span.end();
      },
      withdrawn: () => {
        span.fail("withdrawn");
        span.end();
      },
    };
  }

  flush(writes: () => readonly TraceContext[], rows: number): FlushTrace | undefined {
    const all = writes();
    if (all.length === 0 || this.maker.refuses()) return undefined;
    const links = all.slice(0, LINKS_MAX);
    const flush = this.maker.begin("flush", "internal", {
      links,
      attributes: { [OWN.rows]: rows, ...unlinked(all) },
    });
    const put = this.#storeSpan("INSERT", { parent: flush.context, links }, rows);
    const own = links.map((parent) =>
      this.#storeSpan("INSERT", { parent, links: [flush.context] }, rows)
    );
    const trace: FlushTrace = {
      context: flush.context,
      stored: (result) => {
        for (const span of [put, ...own]) span.end();
        this.#flushes.set(result, trace);
      },
      failed: (error) => [put, ...own, flush].forEach((span) => endFailed(span, error)),
      after: (what) =>
        stepOf(
          what === "fold" ? this.#fold(flush.context) : this.#updateCache(flush.context, rows),
        ),
      end: () => flush.end(),
    };
    return trace;
  }

  flushOf(result: object): FlushTrace | undefined {
    return this.#flushes.get(result);
  }

  send(entries: readonly Entry[]): SendTrace | undefined {
    const sampled = contextsOf(entries).slice(0, LINKS_MAX);
    if (sampled.length === 0 || this.maker.refuses()) return undefined;
    const spans = new Map(
      sampled.map((parent) => [parent, this.#messageSpan("send", { parent }, entries.length)]),
    );
    return {
      entries: entries.map((entry) => {
        const span = entry.trace && spans.get(entry.trace);
        return span === undefined ? entry : { ...entry, trace: span.context };
      }),
      confirmed: () => spans.forEach((span) => span.end()),
      failed: (error) => spans.forEach((span) => endFailed(span, error)),
    };
  }

  process(entries: readonly Entry[]): ProcessTrace | undefined {
    const sampled = contextsOf(entries).slice(0, LINKS_MAX);
    if (sampled.length === 0 || this.maker.refuses()) return undefined;
    const spans = sampled.map((parent) => this.#messageSpan("process", { parent }, entries.length));
    return {
      contexts: spans.map(({ context }) => context),
      fail: (error) => spans.forEach((span) => span.fail(errorTypeOf(error))),
      end: () => spans.forEach((span) => span.end()),
    };
  }

  #lookUp(parent: TraceContext, tier: "cache" | "store"): Step {
    if (tier === "store") return stepOf(this.#storeSpan("SELECT", { parent }));
    return stepOf(this.#cacheSpan("GET", parent));
  }

  #fold(parent: TraceContext): OpenSpan {
    return this.maker.begin("fold marks", "client", { parent, attributes: this.#store });
  }

  #updateCache(parent: TraceContext, rows: number): OpenSpan {
    return this.#cacheSpan("EVALSHA", parent, rows);
  }

  #storeSpan(operation: string, options: SpanOptions, rows = 1): OpenSpan {
    return this.maker.begin(`${operation} ${TABLE}`, "client", {
      ...options,
      attributes: {
        ...this.#store,
        [DB.operation]: operation,
        [DB.collection]: TABLE,
        ...batchOf(rows),
      },
    });
  }

  #cacheSpan(operation: string, parent: TraceContext, rows = 1): OpenSpan {
    const { cacheSystem } = this.peers;
    if (cacheSystem === undefined) return this.maker.begin("cache", "internal", { parent });
    return this.maker.begin(operation, "client", {
      parent,
      attributes: { [DB.system]: cacheSystem, [DB.operation]: operation, ...batchOf(rows) },
    });
  }

  #messageSpan(operation: "send" | "process", options: SpanOptions, rows: number): OpenSpan {
    const { broker } = this.peers;
    const name = broker === undefined ? operation : `${operation} ${broker.destination}`;
    return this.maker.begin(name, operation === "send" ? "producer" : "consumer", {
      ...options,
      attributes: {
        ...(broker !== undefined && {
          [MESSAGING.system]: broker.system,
          [MESSAGING.destination]: broker.destination,
        }),
        [MESSAGING.operation]: operation,
        [MESSAGING.operationType]: operation,
        [OWN.rows]: rows,
      },
    });
  }
}

/** The conventions name a size where there is more than one. */
function batchOf(rows: number): Attributes {
  return rows > 1 ? { [DB.batchSize]: rows } : {};
}

function unlinked(all: readonly TraceContext[]): Attributes {
  return all.length > LINKS_MAX ? { [OWN.unlinked]: all.length - LINKS_MAX } : {};
}

function stepOf(span: OpenSpan): Step {
  return {
    context: span.context,
    fail: (error) => span.fail(errorTypeOf(error)),
    end: () => span.end(),
  };
}

function endFailed(span: OpenSpan, error: unknown): void {
  span.fail(errorTypeOf(error));
  span.end();
}

/** The text of an error may quote what was refused, or name a user; its kind does not. */
function errorTypeOf(error: unknown): string {
  if (error instanceof AppError) return error.code;
  return error instanceof Error ? error.name : "_OTHER";
}
