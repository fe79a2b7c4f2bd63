/** `GET /read?user_id=`: the latest value of a user, as text or, by `Accept`, as JSON. */
import crc32c from "crc-32/crc32c";
import { type Entry, writeId } from "../../domain.ts";
import { AppError } from "../../errors.ts";
import { type Handler, parseQuery } from "../problem.ts";
import type { Reader } from "../../reading/reader.ts";
import { parseUserId } from "../record.ts";

export interface ReadHandlerParts {
  readonly reader: Reader;
  readonly keyBytes: number;
}

export function readHandler({ reader, keyBytes }: ReadHandlerParts): Handler {
  return async ({ request, query }) => {
    const userId = parseUserId(parseQuery(query).get("user_id"), keyBytes);
    const result = await reader.read(userId);
    if (result === undefined) {
      throw new AppError(
        "user-not-found",
        `Nothing has been written for user_id ${JSON.stringify(userId)}.`,
      );
    }
    const { entry, source } = result;
    const asJson = wantsJson(request.headers.get("accept"));
    const etag = entityTag(entry, asJson);
    const headers = {
      "content-type": asJson ? "application/json" : "text/plain; charset=utf-8",
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
      vary: "accept",
      etag,
      "dsproxy-ts": String(entry.ts),
      "dsproxy-source": source,
    };
    if (matches(request.headers.get("if-none-match"), etag)) {
      return new Response(null, { status: 304, headers });
    }
    const body = asJson
      ? JSON.stringify({ user_id: entry.userId, value: entry.value, ts: entry.ts })
      : entry.value;
    return new Response(body, { headers });
  };
}

/** Text is what the original answers; JSON is for those who ask for it by name and prefer it. */
function wantsJson(accept: string | null): boolean {
  if (accept === null || !accept.includes("application/json")) return false;
  return qualityOf(accept, "application/json") > qualityOf(accept, "text/plain");
}

function qualityOf(accept: string, type: string): number {
  for (const part of accept.toLowerCase().split(",")) {
    const [name, ...parameters] = part.split(";").map((text) => text.trim());
    if (name !== type) continue;
    const q = parameters.find((parameter) => parameter.startsWith("q="));
    return q === undefined ? 1 : Number(q.slice(2)) || 0;
  }
  return 0;
}

/**
 * One version and one form of it. A row that another program inserted has no write id, so its text
 * is hashed instead.
 */
function entityTag(entry: Entry, asJson: boolean): string {
  const identity = entry.seq > 0
    ? writeId(entry)
    : `${entry.ts}-${(crc32c.str(entry.value) >>> 0).toString(36)}`;
  return `"${identity}${asJson ? "-json" : ""}"`;
}

function matches(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  return ifNoneMatch.trim() === "*" ||
    ifNoneMatch.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}
