/** `GET /read?user_id=` answers with the latest value of a user, as text or by `Accept` as JSON. */
import crc32c from "crc-32/crc32c";
import { type Entry, parseWriteId, type WriteId, writeId } from "../../domain.ts";
import { AppError } from "../../errors.ts";
import { type Handler, TEXT_HEADERS } from "../handler.ts";
import { headerField } from "../header_field.ts";
import { namesTag, preferredForm } from "../negotiation.ts";
import { parseQuery } from "../query.ts";
import type { Reader, ReadResult } from "../../reading/reader.ts";
import { parseUserId } from "../record.ts";

interface ReadHandlerParts {
  readonly reader: Pick<Reader, "read" | "readAfter">;
  readonly keyBytes: number;
}

export function readHandler({ reader, keyBytes }: ReadHandlerParts): Handler {
  return ({ request, query, trace }) => {
    const userId = parseUserId(parseQuery(query).get("user_id"), keyBytes);
    const after = writeToSee(headerField(request, "dsproxy-after"));
    const result = after === undefined
      ? reader.read(userId, trace)
      : reader.readAfter(userId, after);
    return result instanceof Promise
      ? result.then((found) => answer(request, userId, found))
      : answer(request, userId, result);
  };
}

/** @throws AppError `invalid-parameter` */
function writeToSee(text: string | null): WriteId | undefined {
  if (text === null) return undefined;
  const id = parseWriteId(text);
  if (id !== undefined) return id;
  throw new AppError(
    "invalid-parameter",
    `Dsproxy-After: ${text.slice(0, 64)} is not a write id such as 0123456789ab-42.`,
  );
}

function answer(request: Request, userId: string, result: ReadResult | undefined): Response {
  if (result === undefined) {
    throw new AppError(
      "user-not-found",
      `Nothing has been written for user_id ${JSON.stringify(userId)}.`,
    );
  }
  const { entry, source } = result;
  const asJson = preferredForm(headerField(request, "accept")) === "json";
  const etag = entityTag(entry, asJson);
  const headers = {
    "content-type": asJson ? "application/json" : TEXT_HEADERS["content-type"],
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    vary: "accept",
    etag,
    "dsproxy-ts": String(entry.ts),
    "dsproxy-source": source,
  };
  if (namesTag(headerField(request, "if-none-match"), etag)) {
    return new Response(null, { status: 304, headers });
  }
  const body = asJson
    ? JSON.stringify({ user_id: entry.userId, value: entry.value, ts: entry.ts })
    : entry.value;
  return new Response(body, { headers });
}

/**
 * A tag stands for one version of a value in one form. A row that another program inserted has no
 * write id, so its text is hashed instead.
 */
function entityTag(entry: Entry, asJson: boolean): string {
  const identity = entry.seq > 0
    ? writeId(entry)
    : `${entry.ts}-${(crc32c.str(entry.value) >>> 0).toString(36)}`;
  return `"${identity}${asJson ? "-json" : ""}"`;
}
