/** What the handlers and the server share about HTTP: queries and problem documents. */
import { AppError, type ErrorCode } from "../errors.ts";

export interface RequestContext {
  readonly request: Request;
  /** Without the leading `?`; empty when there is none. */
  readonly query: string;
  /** What the route's `{…}` stands for. */
  readonly pathParameter: string;
  /** The address of the other side of the connection. */
  readonly remoteAddress: string;
  /** What the server was told to listen on. */
  readonly boundAddress: string;
}

export type Handler = (context: RequestContext) => Response | Promise<Response>;

export const TEXT_HEADERS = { "content-type": "text/plain; charset=utf-8" } as const;

/**
 * The parameters of a query, strictly decoded.
 * @throws AppError `invalid-parameter` for a repeated name or text that is not percent-encoded
 *   UTF-8
 */
export function parseQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  if (query === "") return parameters;
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (parameters.has(name)) {
      throw new AppError("invalid-parameter", `The parameter ${name} is given more than once.`);
    }
    parameters.set(name, equals < 0 ? "" : decode(pair.slice(equals + 1)));
  }
  return parameters;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new AppError(
      "invalid-parameter",
      `"${text.slice(0, 64)}" in the query is not percent-encoded UTF-8.`,
    );
  }
}

interface Answer {
  readonly status: number;
  readonly title: string;
  readonly retryAfterSeconds?: number;
  /** The rest of the body was not read, so what follows on the connection cannot be a request. */
  readonly closes?: true;
}

const ANSWERS: Record<ErrorCode, Answer> = {
  "invalid-json": { status: 400, title: "The body is not JSON" },
  "invalid-record": { status: 400, title: "The record is not valid" },
  "invalid-parameter": { status: 400, title: "A parameter is not valid" },
  "missing-user-id": { status: 400, title: "user_id is missing" },
  "invalid-host": { status: 400, title: "The Host header is not valid" },
  "cross-site-request": { status: 403, title: "Cross-site request refused" },
  "admin-only": { status: 403, title: "Admin only" },
  "user-not-found": { status: 404, title: "No such user" },
  "write-not-found": { status: 404, title: "No such write" },
  "dead-letter-not-found": { status: 404, title: "No such dead letter" },
  "no-such-path": { status: 404, title: "No such path" },
  "method-not-allowed": { status: 405, title: "Method not allowed" },
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
  "shutting-down": { status: 503, title: "Shutting down", retryAfterSeconds: 1, closes: true },
  "overloaded": { status: 503, title: "Too much at once", retryAfterSeconds: 2, closes: true },
  "not-ready": { status: 503, title: "Not ready yet", retryAfterSeconds: 1 },
};

/** The RFC 9457 document of an error, with nothing internal in it. */
export function problem(error: AppError, headers?: Record<string, string>): Response {
  const { status, title, retryAfterSeconds, closes } = ANSWERS[error.code];
  const response = new Response(
    JSON.stringify({ type: error.code, title, status, detail: error.message }) + "\n",
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
  if (closes) response.headers.set("connection", "close");
  return response;
}
