/** A handler answers the requests of one route. */
import type { RequestTrace } from "../telemetry/tracing.ts";

/** A request comes in over the network, or by the socket that only its owner may open. */
export type Door = "network" | "admin-socket";

export interface RequestContext {
  readonly request: Request;
  /** The query has no `?` before it, and is empty when there is none. */
  readonly query: string;
  /** This is what the `{…}` of the route stands for; empty where it has none. */
  readonly pathParameter: string;
  readonly door: Door;
  /** Undefined unless the request is sampled. */
  readonly trace?: RequestTrace | undefined;
}

export type Handler = (context: RequestContext) => Response | Promise<Response>;

export const TEXT_HEADERS = { "content-type": "text/plain; charset=utf-8" } as const;
