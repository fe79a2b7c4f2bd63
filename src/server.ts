/** The HTTP surface: one visible route table, what applies to every request, and the mapping of errors to answers. */
import { crossSiteHeaders, type OriginPolicy, requireSameSite } from "./cross_site.ts";
import { AppError, reasonOf } from "./errors.ts";
import { type Handler, problem } from "./http.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

export interface Handlers {
  readonly write: Handler;
  readonly writeStatus: Handler;
  readonly read: Handler;
  readonly metrics: Handler;
  readonly live: Handler;
  readonly ready: Handler;
}

interface Route {
  readonly path: string;
  readonly methods: Readonly<Partial<Record<"GET" | "POST", keyof Handlers>>>;
}

const ROUTES: readonly Route[] = [
  { path: "/write", methods: { POST: "write" } },
  { path: "/writes/{id}", methods: { GET: "writeStatus" } },
  { path: "/read", methods: { GET: "read" } },
  { path: "/metrics", methods: { GET: "metrics" } },
  { path: "/livez", methods: { GET: "live" } },
  { path: "/healthz", methods: { GET: "live" } },
  { path: "/readyz", methods: { GET: "ready" } },
];

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

  constructor(private readonly options: ServerOptions, private readonly parts: ServerParts) {}

  /** Routes whose handler is not mounted yet answer 503: health and metrics are there while the rest is being recovered. */
  mount(handlers: Partial<Handlers>): void {
    Object.assign(this.#handlers, handlers);
  }

  /** Starts listening; returns the base URL with the port really bound. @throws when the address cannot be bound */
  start(): string {
    const { host: hostname, port } = this.options;
    try {
      this.#server = Deno.serve({ hostname, port, onListen: () => {} }, (request) => this.#serve(request));
    } catch (error) {
      throw new Error(`Cannot listen on ${hostname}:${port}: ${reasonOf(error)}`, { cause: error });
    }
    const { hostname: boundHost, port: boundPort } = this.#server.addr;
    return `http://${boundHost.includes(":") ? `[${boundHost}]` : boundHost}:${boundPort}`;
  }

  /** Accepts no more, and resolves when the requests under way are answered. */
  async stop(): Promise<void> {
    await this.#server?.shutdown();
  }

  async #serve(request: Request): Promise<Response> {
    const startedMs = performance.now();
    const { url } = request;
    const pathAt = url.indexOf("/", url.indexOf("//") + 2);
    const queryAt = url.indexOf("?", pathAt);
    const path = url.slice(pathAt, queryAt < 0 ? undefined : queryAt);
    const route = findRoute(path);
    const label = route?.path ?? "other";
    let response: Response;
    try {
      response = await this.#answer(request, route, path, queryAt < 0 ? "" : url.slice(queryAt + 1));
    } catch (error) {
      response = this.#refuse(error, label);
    }
    for (const [header, value] of crossSiteHeaders(request, this.options.origins)) {
      response.headers.append(header, value);
    }
    const { metrics } = this.parts;
    metrics.httpRequests.inc({ route: label, method: knownMethod(request.method), code: response.status });
    metrics.httpDuration.observe({ route: label }, (performance.now() - startedMs) / 1000);
    return response;
  }

  #answer(request: Request, route: Route | undefined, path: string, query: string): Response | Promise<Response> {
    if (route === undefined) throw new AppError("no-such-path", `There is nothing at ${path.slice(0, 128)}.`);
    const { method } = request;
    const name = route.methods[method === "HEAD" ? "GET" : method as "GET" | "POST"];
    if (name === undefined) return notAllowed(route, method);
    requireSameSite(request, this.options.origins);
    const handler = this.#handlers[name];
    if (handler === undefined) {
      throw new AppError("not-ready", "The journal is being recovered. Try again in a moment.");
    }
    return handler({ request, query, pathParameter: path.slice(path.lastIndexOf("/") + 1) });
  }

  #refuse(error: unknown, route: string): Response {
    if (!(error instanceof AppError)) {
      this.parts.log.error("A request failed on a defect", { route, error });
      return problem(new AppError("internal-error", "Something went wrong here. It has been logged."));
    }
    const response = problem(error);
    if (response.status === 503 || response.status === 413) this.parts.metrics.shed.inc({ reason: error.code });
    if (error.cause !== undefined) this.parts.log.debug("A request was refused", { route, error });
    return response;
  }
}

const KNOWN_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** A label must not take whatever a client invents. */
function knownMethod(method: string): string {
  return KNOWN_METHODS.has(method) ? method : "other";
}

function findRoute(path: string): Route | undefined {
  return ROUTES.find((route) => {
    const brace = route.path.indexOf("{");
    if (brace < 0) return route.path === path;
    return path.length > brace && path.startsWith(route.path.slice(0, brace)) && path.indexOf("/", brace) < 0;
  });
}

function notAllowed(route: Route, method: string): Response {
  const allow = Object.keys(route.methods).join(", ").replace("GET", "GET, HEAD");
  if (method === "OPTIONS") return new Response(null, { status: 204, headers: { allow: `${allow}, OPTIONS` } });
  const error = new AppError("method-not-allowed", `${route.path} answers ${allow}, not ${method.slice(0, 32)}.`);
  return problem(error, { allow });
}
