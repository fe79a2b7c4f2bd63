/**
 * This is the one table of routes. Dispatch, 405 and its Allow, CORS and the help text are read from
 * it.
 */
import type { AuditHandlers } from "./handlers/audit.ts";
import type { DeadLetterSweepHandlers } from "./handlers/dead_letter_sweeps.ts";
import type { DeadLetterHandlers } from "./handlers/dead_letters.ts";
import type { PageHandlers } from "./handlers/page.ts";
import type { SteeringHandlers } from "./handlers/steering.ts";
import type { Handler } from "./handler.ts";

export interface Handlers
  extends
    DeadLetterHandlers,
    DeadLetterSweepHandlers,
    AuditHandlers,
    SteeringHandlers,
    PageHandlers {
  readonly write: Handler;
  readonly writeStatus: Handler;
  readonly read: Handler;
  readonly metrics: Handler;
  readonly events: Handler;
  readonly live: Handler;
  readonly ready: Handler;
}

export type Method = "GET" | "POST" | "DELETE";

/** A guard must let a request through before its handler is asked; each is a file of `guards/`. */
export type Guard = "cross-site" | "admin-access";

export interface Route {
  readonly method: Method;
  /** There is at most one `{name}`, which stands for one segment. */
  readonly path: string;
  readonly handler: keyof Handlers;
  /** They are asked in this order. */
  readonly guards: readonly Guard[];
  /** Tells people what is asked, and what comes. */
  readonly summary: string;
}

const OPEN: readonly Guard[] = ["cross-site"];
/** A link on another site may lead to a page for people: what it does it asks for itself. */
const LINKED: readonly Guard[] = [];
const ADMIN: readonly Guard[] = ["cross-site", "admin-access"];

export const ROUTES: readonly Route[] = [
  {
    method: "POST",
    path: "/write",
    handler: "write",
    guards: OPEN,
    summary: "accept {user_id, value, ts?}; ?ack=accepted, durable or flushed",
  },
  {
    method: "GET",
    path: "/writes/{id}",
    handler: "writeStatus",
    guards: OPEN,
    summary: "what became of a write: queued, flushed or dead",
  },
  {
    method: "GET",
    path: "/read",
    handler: "read",
    guards: OPEN,
    summary: "the newest value of ?user_id=, as text or by Accept as JSON",
  },
  {
    method: "GET",
    path: "/metrics",
    handler: "metrics",
    guards: OPEN,
    summary: "for Prometheus, and OpenMetrics by Accept",
  },
  {
    method: "GET",
    path: "/events",
    handler: "events",
    guards: OPEN,
    summary: "how this instance is, once a second as server-sent events; by Accept once as JSON",
  },
  {
    method: "GET",
    path: "/admin/dead-letters",
    handler: "listDeadLetters",
    guards: ADMIN,
    summary: "rows that the database refused; ?user_id= ?code= ?from= ?until=, ?limit= and ?after=",
  },
  {
    method: "GET",
    path: "/admin/dead-letters/count",
    handler: "countDeadLetters",
    guards: ADMIN,
    summary: "how many there are of these, and why they were refused",
  },
  {
    method: "POST",
    path: "/admin/dead-letters/replay",
    handler: "replayMany",
    guards: ADMIN,
    summary:
      "insert these again, a step a call; ?all=true for all, ?expect= as many as were counted",
  },
  {
    method: "POST",
    path: "/admin/dead-letters/discard",
    handler: "discardMany",
    guards: ADMIN,
    summary: "delete these for good, in the same way",
  },
  {
    method: "GET",
    path: "/admin/dead-letters/{id}",
    handler: "showDeadLetter",
    guards: ADMIN,
    summary: "one of them, with its value",
  },
  {
    method: "DELETE",
    path: "/admin/dead-letters/{id}",
    handler: "discardDeadLetter",
    guards: ADMIN,
    summary: "delete it for good",
  },
  {
    method: "POST",
    path: "/admin/dead-letters/{id}/replay",
    handler: "replayDeadLetter",
    guards: ADMIN,
    summary: "insert it again as it was accepted",
  },
  {
    method: "GET",
    path: "/admin/audit",
    handler: "showAudit",
    guards: ADMIN,
    summary: "the numbers of all writes held against the database: what is missing or doubled",
  },
  {
    method: "POST",
    path: "/admin/audit/accept",
    handler: "acceptGap",
    guards: ADMIN,
    summary: "call ?source= ?first= ?last= accounted for, with a ?reason=",
  },
  {
    method: "POST",
    path: "/admin/flush",
    handler: "flush",
    guards: ADMIN,
    summary: "bring what waits to the database now; 200 when it is there, 202 after 10 s",
  },
  {
    method: "POST",
    path: "/admin/pause",
    handler: "pause",
    guards: ADMIN,
    summary: "bring nothing to the database; writes go on until the journal is full",
  },
  {
    method: "POST",
    path: "/admin/resume",
    handler: "resume",
    guards: ADMIN,
    summary: "go on, after a pause or a drain",
  },
  {
    method: "POST",
    path: "/admin/drain",
    handler: "drain",
    guards: ADMIN,
    summary: "turn writes away, flush all, be not ready; answered as a flush",
  },
  {
    method: "GET",
    path: "/",
    handler: "root",
    guards: LINKED,
    summary: "leads a browser to the dashboard",
  },
  {
    method: "GET",
    path: "/dashboard",
    handler: "page",
    guards: LINKED,
    summary: "a live page for people: how it stands, and what to do",
  },
  {
    method: "GET",
    path: "/dashboard/{file}",
    handler: "pageFile",
    guards: LINKED,
    summary: "what that page consists of",
  },
  {
    method: "GET",
    path: "/livez",
    handler: "live",
    guards: OPEN,
    summary: "whether the process runs",
  },
  {
    method: "GET",
    path: "/healthz",
    handler: "live",
    guards: OPEN,
    summary: "the same",
  },
  {
    method: "GET",
    path: "/readyz",
    handler: "ready",
    guards: OPEN,
    summary: "whether it accepts writes; ?verbose says why not",
  },
];

/** All routes of one path together are what HTTP calls a resource. */
interface Resource {
  readonly path: string;
  /** The header Allow names its methods, and HEAD where there is GET. */
  readonly allow: string;
  readonly routes: ReadonlyMap<string, Route>;
}

const RESOURCES: readonly Resource[] = [...new Set(ROUTES.map(({ path }) => path))].map((path) => {
  const here = ROUTES.filter((route) => route.path === path);
  const routes = new Map<string, Route>(here.map((route) => [route.method, route]));
  const get = routes.get("GET");
  if (get !== undefined) routes.set("HEAD", get);
  return { path, allow: [...routes.keys()].sort().join(", "), routes };
});

const FIXED = new Map<string, FoundResource>(
  RESOURCES.filter(({ path }) => !path.includes("{")).map((resource) => [
    resource.path,
    { resource, pathParameter: "" },
  ]),
);
const WITH_PARAMETER = RESOURCES.flatMap((resource) => {
  const parts = /^(.*)\{\w+\}(.*)$/.exec(resource.path);
  return parts === null ? [] : [{ resource, before: parts[1]!, after: parts[2]! }];
});

export interface FoundResource {
  readonly resource: Resource;
  readonly pathParameter: string;
}

export function findResource(path: string): FoundResource | undefined {
  const fixed = FIXED.get(path);
  if (fixed !== undefined) return fixed;
  for (const { resource, before, after } of WITH_PARAMETER) {
    if (!path.startsWith(before) || !path.endsWith(after)) continue;
    const pathParameter = path.slice(before.length, path.length - after.length);
    if (pathParameter !== "" && !pathParameter.includes("/")) return { resource, pathParameter };
  }
  return undefined;
}

/** Returns one line for each route, for `--help`. */
export function routesHelp(): string {
  const nameOf = ({ method, path }: Route) => `${method} ${path}`;
  const width = Math.max(...ROUTES.map((route) => nameOf(route).length));
  return ROUTES.map((route) => `  ${nameOf(route).padEnd(width)}  ${route.summary}\n`).join("");
}
