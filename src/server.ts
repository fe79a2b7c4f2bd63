/** The HTTP surface: one visible route table, what applies to every request, and the mapping of errors to answers. */
import { crossSiteHeaders, type OriginPolicy, requireSameSite } from "./cross_site.ts";
import { AppError, reasonOf } from "./errors.ts";
import type { DeadLetterHandlers } from "./handlers/dead_letters.ts";
import { type Handler, problem, type RequestContext } from "./http.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

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
  { path: "/admin/dead-letters/{id}", methods: { GET: "showDeadLetter", DELETE: "discardDeadLetter" } },
  { path: "/admin/dead-letters/{id}/replay", methods: { POST: "replayDeadLetter" } },
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
      this.#server = Deno.serve(
        { hostname, port, onListen: () => {} },
        (request, { remoteAddr }) => this.#serve(request, remoteAddr.hostname),
      );
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

  async #serve(request: Request, remoteAddress: string): Promise<Response> {
    const startedMs = performance.now();
    const { url } = request;
    const pathAt = url.indexOf("/", url.indexOf("//") + 2);
    const queryAt = url.indexOf("?", pathAt);
    const path = url.slice(pathAt, queryAt < 0 ? undefined : queryAt);
    const { route, pathParameter } = findRoute(path);
    const label = route?.path ?? "other";
    const query = queryAt < 0 ? "" : url.slice(queryAt + 1);
    let response: Response;
    try {
      if (route === undefined) throw new AppError("no-such-path", `There is nothing at ${path.slice(0, 128)}.`);
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
    metrics.httpRequests.inc({ route: label, method: knownMethod(request.method), code: response.status });
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
  if (method === "OPTIONS") return new Response(null, { status: 204, headers: { allow: `${allow}, OPTIONS` } });
  const error = new AppError("method-not-allowed", `${route.path} answers ${allow}, not ${method.slice(0, 32)}.`);
  return problem(error, { allow });
}
