/**
 * The HTTP surface: one visible route table, what applies to every request, and the mapping of
 * errors to answers.
 */
import { crossSiteHeaders, type OriginPolicy, requireSameSite } from "./guards/cross_site.ts";
import { AppError, reasonOf } from "../errors.ts";
import type { DeadLetterHandlers } from "./handlers/dead_letters.ts";
import { type Handler, problem, type RequestContext } from "./problem.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

export interface Handlers extends DeadLetterHandlers {
  readonly write: Handler;
  readonly writeStatus: Handler;
  readonly read: Handler;
  readonly metrics: Handler;
  readonly live: Handler;
  readonly ready: Handler;
}

type Method = "GET" | "POST" | "DELETE";

interface Route {
  readonly path: string;
  readonly methods: Readonly<Partial<Record<Method, keyof Handlers>>>;
}

const ROUTES: readonly Route[] = [
  { path: "/write", methods: { POST: "write" } },
  { path: "/writes/{id}", methods: { GET: "writeStatus" } },
  { path: "/read", methods: { GET: "read" } },
  { path: "/metrics", methods: { GET: "metrics" } },
  { path: "/admin/dead-letters", methods: { GET: "listDeadLetters" } },
  {
    path: "/admin/dead-letters/{id}",
    methods: { GET: "showDeadLetter", DELETE: "discardDeadLetter" },
  },
  { path: "/admin/dead-letters/{id}/replay", methods: { POST: "replayDeadLetter" } },
  { path: "/livez", methods: { GET: "live" } },
  { path: "/healthz", methods: { GET: "live" } },
  { path: "/readyz", methods: { GET: "ready" } },
];

const RELISTEN_MS = 500;

export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  readonly origins: OriginPolicy;
}

export interface ServerParts {
  readonly metrics: Metrics;
  readonly log: Log;
}

export class Server {
  readonly #handlers: Partial<Handlers> = {};
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;
  #stopping = false;
  #relistenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: ServerOptions, private readonly parts: ServerParts) {}

  /**
   * Routes whose handler is not mounted yet answer 503: health and metrics are there while the rest
   * is being recovered.
   */
  mount(handlers: Partial<Handlers>): void {
    Object.assign(this.#handlers, handlers);
  }

  /**
   * Starts listening; returns the base URL with the port really bound. @throws when the address
   * cannot be bound
   */
  start(): string {
    const { host, port } = this.options;
    try {
      const { hostname, port: boundPort } = this.#listen(port).addr;
      return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${boundPort}`;
    } catch (error) {
      throw new Error(`Cannot listen on ${host}:${port}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Accepts no more, and resolves when the requests under way are answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#relistenTimer);
    await this.#server?.shutdown();
  }

  #listen(port: number): Deno.HttpServer<Deno.NetAddr> {
    const server = Deno.serve(
      { hostname: this.options.host, port, onListen: () => {} },
      (request, { remoteAddr }) => this.#serve(request, remoteAddr.hostname),
    );
    server.finished.catch((error) => this.#listenAgainLater(server.addr.port, error));
    return this.#server = server;
  }

  /** Accepting can fail while all else is well: no file descriptor may be left. That passes. */
  #listenAgainLater(port: number, error: unknown): void {
    if (this.#stopping) return;
    this.#server = undefined;
    this.parts.log.error("Connections cannot be accepted; listening again in a moment", { error });
    this.#relistenTimer = setTimeout(() => {
      try {
        this.#listen(port);
      } catch (listenError) {
        this.#listenAgainLater(port, listenError);
      }
    }, RELISTEN_MS);
  }

  async #serve(request: Request, remoteAddress: string): Promise<Response> {
    const startedMs = performance.now();
    const { path, query } = splitUrl(request.url);
    const { route, pathParameter } = findRoute(path);
    const label = route?.path ?? "other";
    let response: Response;
    try {
      requirePlainHost(request);
      if (route === undefined) {
        throw new AppError("no-such-path", `There is nothing at ${path.slice(0, 128)}.`);
      }
      response = await this.#answer(route, {
        request,
        query,
        pathParameter,
        remoteAddress,
        boundAddress: this.options.host,
      });
    } catch (error) {
      response = this.#refuse(error, label);
    }
    for (const [header, value] of crossSiteHeaders(request, this.options.origins)) {
      response.headers.append(header, value);
    }
    const { metrics } = this.parts;
    metrics.httpRequests.inc({
      route: label,
      method: knownMethod(request.method),
      code: response.status,
    });
    metrics.httpDuration.observe({ route: label }, (performance.now() - startedMs) / 1000);
    return response;
  }

  #answer(route: Route, context: RequestContext): Response | Promise<Response> {
    const { method } = context.request;
    const asked = method === "HEAD" ? "GET" : method;
    const name = Object.hasOwn(route.methods, asked) ? route.methods[asked as Method] : undefined;
    if (name === undefined) return notAllowed(route, method);
    requireSameSite(context.request, this.options.origins);
    const handler = this.#handlers[name];
    if (handler === undefined) {
      throw new AppError("not-ready", "The journal is being recovered. Try again in a moment.");
    }
    return handler(context);
  }

  #refuse(error: unknown, route: string): Response {
    if (!(error instanceof AppError)) {
      this.parts.log.error("A request failed on a defect", { route, error });
      return problem(
        new AppError("internal-error", "Something went wrong here. It has been logged."),
      );
    }
    const response = problem(error);
    if (response.status === 503 || response.status === 413) {
      this.parts.metrics.shed.inc({ reason: error.code });
    }
    if (error.cause !== undefined) this.parts.log.debug("A request was refused", { route, error });
    return response;
  }
}

/** The path ends where the query or a fragment begins, and so does a host that no path follows. */
function splitUrl(url: string): { path: string; query: string } {
  const pathAt = seek(url, /[/?#]/g, url.indexOf("//") + 2);
  const pathEnd = seek(url, /[?#]/g, pathAt);
  const query = url[pathEnd] === "?" ? url.slice(pathEnd + 1, seek(url, /#/g, pathEnd)) : "";
  return { path: url.slice(pathAt, pathEnd), query };
}

function seek(text: string, pattern: RegExp, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? text.length;
}

/**
 * The runtime puts the Host header in front of the target, whatever is in it: a path in it would be
 * taken for the target's.
 */
function requirePlainHost(request: Request): void {
  const host = request.headers.get("host");
  if (host !== null && /[/?#\\@\s]/.test(host)) {
    throw new AppError("invalid-host", `Host: ${host.slice(0, 64)} is not a host and port.`);
  }
}

const KNOWN_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** A label must not take whatever a client invents. */
function knownMethod(method: string): string {
  return KNOWN_METHODS.has(method) ? method : "other";
}

function findRoute(path: string): { route: Route | undefined; pathParameter: string } {
  for (const route of ROUTES) {
    const [before, after] = route.path.split("{id}") as [string, string | undefined];
    if (after === undefined) {
      if (path === before) return { route, pathParameter: "" };
    } else if (path.startsWith(before) && path.endsWith(after)) {
      const pathParameter = path.slice(before.length, path.length - after.length);
      if (pathParameter !== "" && !pathParameter.includes("/")) return { route, pathParameter };
    }
  }
  return { route: undefined, pathParameter: "" };
}

function notAllowed(route: Route, method: string): Response {
  const allow = Object.keys(route.methods).join(", ").replace("GET", "GET, HEAD");
  if (method === "OPTIONS") {
    return new Response(null, { status: 204, headers: { allow: `${allow}, OPTIONS` } });
  }
  const error = new AppError(
    "method-not-allowed",
    `${route.path} answers ${allow}, not ${method.slice(0, 32)}.`,
  );
  return problem(error, { allow });
}
