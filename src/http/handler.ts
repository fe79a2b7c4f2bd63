/** What a handler is given, and what it is. */

/** How a request came in: over the network, or by the socket that only its owner may open. */
export type Door = "network" | "admin-socket";

export interface RequestContext {
  readonly request: Request;
  /** Without the leading `?`; empty when there is none. */
  readonly query: string;
  /** What the route's `{…}` stands for. */
  readonly pathParameter: string;
}

export type Handler = (context: RequestContext) => Response | Promise<Response>;

export const TEXT_HEADERS = { "content-type": "text/plain; charset=utf-8" } as const;
