/** What the handlers and the server share about HTTP: reading what came in within limits, and problem documents. */
import { AppError, type ErrorCode } from "./errors.ts";

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

/** How long a client may take to send a body. */
const BODY_TIMEOUT_MS = 30_000;

/** How long a refused body's connection stays open for the client to read the answer. */
const LINGER_MS = 1_000;

export const TEXT_HEADERS = { "content-type": "text/plain; charset=utf-8" } as const;

/**
 * The parameters of a query, strictly decoded.
 * @throws AppError `invalid-parameter` for a repeated name or text that is not percent-encoded UTF-8
 */
export function parseQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  if (query === "") return parameters;
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (parameters.has(name)) throw new AppError("invalid-parameter", `The parameter ${name} is given more than once.`);
    parameters.set(name, equals < 0 ? "" : decode(pair.slice(equals + 1)));
  }
  return parameters;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new AppError("invalid-parameter", `"${text.slice(0, 64)}" in the query is not percent-encoded UTF-8.`);
  }
}

/** @throws AppError as the steps do: `unsupported-media-type`, `body-too-large`, `body-timeout`, `invalid-json` */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  requireJsonCompatible(request.headers.get("content-type"));
  const bytes = await readBody(request, maxBytes);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new AppError("invalid-json", "The body is not valid UTF-8.");
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError("invalid-json", `The body is not valid JSON: ${(error as SyntaxError).message}`);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Any type is read as JSON, as plain `curl -d` sends a form's type; only what certainly is not JSON text is refused. */
function requireJsonCompatible(contentType: string | null): void {
  if (contentType === null) return;
  const type = contentType.trim().toLowerCase();
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/.exec(type)?.[1];
  if (type.startsWith("multipart/") || (charset !== undefined && charset !== "utf-8" && charset !== "utf8")) {
    throw new AppError("unsupported-media-type", `Cannot read a body of type "${contentType}": send JSON in UTF-8.`);
  }
}

async function readBody(request: Request, maxBytes: number): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > maxBytes) throw tooLarge(maxBytes);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    const message = `The body did not arrive within ${BODY_TIMEOUT_MS / 1000} s.`;
    timer = setTimeout(() => reject(new AppError("body-timeout", message)), BODY_TIMEOUT_MS);
  });
  try {
    // A declared length is enforced by the HTTP layer, so that only an undeclared one has to be counted here.
    const body = declared === null ? readCounted(request.body, maxBytes) : request.bytes();
    return await Promise.race([body, timeout]);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("invalid-json", "The body broke off before its end.", { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function readCounted(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      // Cancelled at once, the server would go on to read the rest, however long. A moment later, after the answer, it closes.
      setTimeout(() => void reader.cancel().catch(() => {}), LINGER_MS);
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function tooLarge(maxBytes: number): AppError {
  return new AppError("body-too-large", `The body is larger than ${maxBytes} bytes, the most that is accepted.`);
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
  "store-unavailable": { status: 503, title: "The database cannot be reached", retryAfterSeconds: 2 },
  "shutting-down": { status: 503, title: "Shutting down", retryAfterSeconds: 1, closes: true },
  "not-ready": { status: 503, title: "Not ready yet", retryAfterSeconds: 1 },
};

/** The RFC 9457 document of an error, with nothing internal in it. */
export function problem(error: AppError, headers?: Record<string, string>): Response {
  const { status, title, retryAfterSeconds, closes } = ANSWERS[error.code];
  const response = new Response(JSON.stringify({ type: error.code, title, status, detail: error.message }) + "\n", {
    status,
    headers: { "content-type": "application/problem+json", "x-content-type-options": "nosniff", ...headers },
  });
  if (retryAfterSeconds !== undefined) response.headers.set("retry-after", String(retryAfterSeconds));
  if (closes) response.headers.set("connection", "close");
  return response;
}
