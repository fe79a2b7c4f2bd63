/** Turns each error into its problem document, with its status, and what the client may do next. */
import type { AppError, ErrorCode } from "../errors.ts";

interface Answer {
  readonly status: number;
  readonly title: string;
  readonly retryAfterSeconds?: number;
  /** The rest of the body was not read, so what follows on the connection cannot be a request. */
  readonly closes?: true;
  /** The client may show so who it is. */
  readonly challenge?: "Bearer";
}

const ANSWERS: Record<ErrorCode, Answer> = {
  "invalid-json": { status: 400, title: "The body is not JSON" },
  "invalid-record": { status: 400, title: "The record is not valid" },
  "invalid-parameter": { status: 400, title: "A parameter is not valid" },
  "missing-user-id": { status: 400, title: "user_id is missing" },
  "invalid-host": { status: 400, title: "The Host header is not valid" },
  "cross-site-request": { status: 403, title: "Cross-site request refused" },
  "unauthorized": { status: 401, title: "A key is needed", challenge: "Bearer" },
  "admin-only": { status: 403, title: "Admin only" },
  "user-not-found": { status: 404, title: "No such user" },
  "write-not-found": { status: 404, title: "No such write" },
  "dead-letter-not-found": { status: 404, title: "No such dead letter" },
  "nothing-missing": { status: 404, title: "Nothing is missing there" },
  "no-such-path": { status: 404, title: "No such path" },
  "method-not-allowed": { status: 405, title: "Method not allowed" },
  "count-changed": { status: 409, title: "Another number than expected" },
  "paused": { status: 409, title: "Paused" },
  "replay-refused": { status: 409, title: "Refused again" },
  "body-timeout": { status: 408, title: "The body came too slowly", closes: true },
  "body-too-large": { status: 413, title: "The body is too large", closes: true },
  "unsupported-media-type": { status: 415, title: "Unsupported media type" },
  "internal-error": { status: 500, title: "Internal error" },
  "queue-full": { status: 503, title: "The queue is full", retryAfterSeconds: 2 },
  "journal-failed": { status: 503, title: "The journal cannot be written", retryAfterSeconds: 10 },
  "store-unavailable": {
    status: 503,
    title: "The database cannot be reached",
    retryAfterSeconds: 2,
  },
  "write-not-stored": {
    status: 503,
    title: "The database does not have the write yet",
    retryAfterSeconds: 1,
  },
  "shutting-down": { status: 503, title: "Shutting down", retryAfterSeconds: 1, closes: true },
  "overloaded": { status: 503, title: "Too much at once", retryAfterSeconds: 2, closes: true },
  "too-many-viewers": { status: 503, title: "Too many viewers", retryAfterSeconds: 10 },
  "not-ready": { status: 503, title: "Not ready yet", retryAfterSeconds: 1 },
};

/** Returns the RFC 9457 document of an error, with nothing internal in it. */
export function problem(error: AppError, headers?: Record<string, string>): Response {
  const { status, title, retryAfterSeconds, closes, challenge } = ANSWERS[error.code];
  const response = new Response(
    JSON.stringify({ type: error.code, title, status, detail: error.message, ...error.members }) +
      "\n",
    {
      status,
      headers: {
        "content-type": "application/problem+json",
        "x-content-type-options": "nosniff",
        ...headers,
      },
    },
  );
  if (retryAfterSeconds !== undefined) {
    response.headers.set("retry-after", String(retryAfterSeconds));
  }
  if (challenge !== undefined) response.headers.set("www-authenticate", challenge);
  if (closes) response.headers.set("connection", "close");
  return response;
}
