/**
 * Takes requests, from the network and from the admin socket, to their handlers: which one the
 * table of routes says, and what every answer is counted by.
 */
import { AppError, reasonOf } from "../errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { NO_TRACING, type RequestTrace, type Tracing } from "../telemetry/tracing.ts";
import { AdminSocket } from "./admin_socket.ts";
import { requireAdmin } from "./guards/admin_access.ts";
import { Defects } from "./defects.ts";
import { crossSiteHeaders, type OriginPolicy, requireSameSite } from "./guards/cross_site.ts";
import { requirePlainHost } from "./guards/plain_host.ts";
import type { Door } from "./handler.ts";
import { Listener, onBrokenAnswer } from "./listener.ts";
import { problem } from "./problem.ts";
import { RequestCounts } from "./request_counts.ts";
import {
  findResource,
  type FoundResource,
  type Guard,
  type Handlers,
  type Route,
} from "./routes.ts";
import { headerField } from "./header_field.ts";
import { endOfTurn } from "./turn.ts";

export interface ServerOptions {
  readonly host: string;
  /** The port 0 picks a free one. */
  readonly port: number;
  readonly origins: OriginPolicy;
  readonly admin: {
    readonly socketPath: string;
    /** Each is the SHA-256 in hex of a key that opens the admin routes over the network. */
    readonly keyHashes: readonly string[];
  };
  /** The place of the admin socket is noted here when it is not the one that was asked for. */
  readonly dataDir: string;
}

interface ServerParts {
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing?: Pick<Tracing, "request">;
}

/** A request that is being answered. */
interface Call {
  readonly request: Request;
  readonly method: string;
  readonly found: FoundResource | undefined;
  /** It is the path of a resource, or one name for all that are none. */
  readonly route: string;
  readonly startedMs: number;
  readonly trace: RequestTrace | undefined;
}

export class Server {
  readonly #handlers: Partial<Handlers> = {};
  readonly #guards: Readonly<Record<Guard, (request: Request, door: Door) => void>>;
  readonly #network: Listener<Deno.NetAddr>;
  readonly #adminSocket: AdminSocket;
  readonly #counts: RequestCounts;
  readonly #defects: Defects;
  /** Undefined where nothing is traced, so that no request asks whether it is. */
  readonly #tracing: Pick<Tracing, "request"> | undefined;

  constructor(private readonly options: ServerOptions, private readonly parts: ServerParts) {
    const { admin, dataDir, host, origins, port } = options;
    this.#counts = new RequestCounts(parts.metrics);
    this.#defects = new Defects(parts.log);
    this.#tracing = parts.tracing === NO_TRACING ? undefined : parts.tracing;
    this.#guards = {
      "cross-site": (request) => requireSameSite(request, origins),
      "admin-access": (request, door) => requireAdmin(request, door, admin.keyHashes),
    };
    const onError = onBrokenAnswer(parts.log);
    this.#network = new Listener((before) =>
      Deno.serve(
        { hostname: host, port: before?.port ?? port, onListen: () => {}, onError },
        (request) => this.#serve(request, "network"),
      ), parts.log);
    this.#adminSocket = new AdminSocket({
      path: admin.socketPath,
      dataDir,
      log: parts.log,
      handle: async (request) => await this.#serve(request, "admin-socket"),
    });
  }

  /**
   * Routes whose handler is not mounted yet answer 503: health and metrics are there while the rest
   * is being recovered.
   */
  mount(handlers: Partial<Handlers>): void {
    Object.assign(this.#handlers, handlers);
  }

  /**
   * Listens on the network; returns the base URL with the port really bound.
   * @throws when the address cannot be bound
   */
  async start(): Promise<string> {
    const { host, port } = this.options;
    try {
      const bound = await this.#network.start();
      const { hostname } = bound;
      return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${bound.port}`;
    } catch (error) {
      throw new Error(`Cannot listen on ${host}:${port}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /**
   * Opens the admin socket. To be called once the data directory is this process's alone.
   * @throws when another process answers there
   */
  async openAdminSocket(): Promise<void> {
    await this.#adminSocket.start();
  }

  /** Accepts no more, and resolves when the requests under way are answered. */
  async stop(): Promise<void> {
    await Promise.all([this.#network.stop(), this.#adminSocket.stop()]);
  }

  #serve(request: Request, door: Door): Response | Promise<Response> {
    const startedMs = performance.now();
    const { method } = request;
    const { path, query } = splitUrl(request.url);
    const found = findResource(path);
    const trace = this.#tracing?.request(
      () => headerField(request, "traceparent"),
      method,
      found?.resource.path,
    );
    const route = found?.resource.path ?? "other";
    const call = { request, method, found, route, startedMs, trace };
    try {
      requirePlainHost(request);
      if (found === undefined) {
        throw new AppError("no-such-path", `There is nothing at ${path.slice(0, 128)}.`);
      }
      return this.#atEndOfTurn(call, this.#answer(call, door, found, query));
    } catch (error) {
      return this.#finish(call, this.#refuse(error, call));
    }
  }

  async #atEndOfTurn(call: Call, answer: Response | Promise<Response>): Promise<Response> {
    let response: Response;
    try {
      response = answer instanceof Promise ? await answer : answer;
    } catch (error) {
      response = this.#refuse(error, call);
    }
    await endOfTurn();
    return this.#finish(call, response);
  }

  #finish(call: Call, response: Response): Response {
    const { request, method, found, route, startedMs, trace } = call;
    if (this.options.origins.size > 0) this.#addCrossSiteHeaders(request, response, found);
    this.#counts.count(
      route,
      method,
      response.status,
      performance.now() - startedMs,
      trace?.context.traceId,
    );
    trace?.answered(response.status);
    return response;
  }

  #addCrossSiteHeaders(request: Request, response: Response, found?: FoundResource): void {
    const allow = found?.resource.allow ?? "";
    for (const [name, value] of crossSiteHeaders(request, this.options.origins, allow)) {
      response.headers.append(name, value);
    }
  }

  #answer(
    { request, method, trace }: Call,
    door: Door,
    { resource, pathParameter }: FoundResource,
    query: string,
  ): Response | Promise<Response> {
    const route = resource.routes.get(method);
    if (route === undefined) return notAllowed(method, resource);
    for (const guard of route.guards) this.#guards[guard](request, door);
    return this.#handlerOf(route)({ request, query, pathParameter, door, trace });
  }

  #handlerOf(route: Route) {
    const handler = this.#handlers[route.handler];
    if (handler !== undefined) return handler;
    throw new AppError("not-ready", "The journal is being recovered. Try again in a moment.");
  }

  #refuse(error: unknown, { route, trace }: Call): Response {
    if (!(error instanceof AppError)) {
      this.#defects.note(route, error, trace?.context);
      return problem(
        new AppError("internal-error", "Something went wrong here. It has been logged."),
      );
    }
    const response = problem(error);
    if (response.status === 503 || response.status === 413) {
      this.parts.metrics.shed.inc({ reason: error.code });
    }
    if (error.cause !== undefined) {
      const told = { event: "request-refused", route, error } as const;
      this.parts.log.of(trace?.context).debug("A request was refused", told);
    }
    return response;
  }
}

/** The path ends where the query or a fragment begins, and so does a host that no path follows. */
function splitUrl(url: string): { path: string; query: string } {
  const hostAt = url.indexOf("//") + 2;
  const end = seek(url, "#", hostAt, url.length);
  const pathEnd = seek(url, "?", hostAt, end);
  const pathAt = seek(url, "/", hostAt, pathEnd);
  return { path: url.slice(pathAt, pathEnd), query: url.slice(pathEnd + 1, end) };
}

function seek(text: string, character: string, from: number, end: number): number {
  const at = text.indexOf(character, from);
  return at < 0 || at > end ? end : at;
}

function notAllowed(method: string, { path, allow }: FoundResource["resource"]): Response {
  if (method === "OPTIONS") {
    return new Response(null, { status: 204, headers: { allow: `${allow}, OPTIONS` } });
  }
  const detail = `${path} answers ${allow}, not ${method.slice(0, 32)}.`;
  return problem(new AppError("method-not-allowed", detail), { allow });
}
