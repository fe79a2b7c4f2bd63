/**
 * `GET /events` tells how this instance is, once a second as a stream of events, or once to who asks
 * for JSON.
 */
import Negotiator from "negotiator";
import type { Dashboard } from "../../dashboard/dashboard.ts";
import { AppError } from "../../errors.ts";
import type { Handler } from "../handler.ts";
import { headerField } from "../header_field.ts";
import { parseQuery } from "../query.ts";

/** The first one is for who has no preference. */
const FORMS = ["text/event-stream", "application/json"];

const HEADERS = {
  "cache-control": "no-store",
  // nginx would keep events back until it has a buffer full of them.
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
};

/** @param dashboard is undefined where DASHBOARD=off */
export function eventsHandler(
  dashboard: Pick<Dashboard, "watch" | "answer"> | undefined,
): Handler {
  return async ({ request, query }) => {
    if (dashboard === undefined) {
      throw new AppError("no-such-path", "The dashboard is off here (DASHBOARD=off).");
    }
    if (wantsJson(request)) {
      const json = await dashboard.answer(parseQuery(query).has("history"));
      return new Response(json, { headers: { ...HEADERS, "content-type": "application/json" } });
    }
    const headers = { ...HEADERS, "content-type": "text/event-stream" };
    // Whoever asks for the headers alone would be counted as watching for ever.
    if (request.method === "HEAD") return new Response(null, { headers });
    return new Response(await dashboard.watch(), { headers });
  };
}

function wantsJson(request: Request): boolean {
  const accept = headerField(request, "accept");
  if (accept === null) return false;
  return new Negotiator({ headers: { accept } }).mediaType(FORMS) === "application/json";
}
