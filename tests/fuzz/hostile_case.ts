/**
 * One conversation with the server, what may come of it, and the parts from which conversations are
 * made.
 */
import type { Written } from "./oracle.ts";
import type { Seeded } from "./seeded.ts";
import { joined } from "./wire.ts";

/** What must be answered to one request. */
export interface Expected {
  readonly statuses?: readonly number[];
  /** Stored with exactly this when it is answered with 2xx, and otherwise not at all. */
  readonly write?: Written;
  readonly bodiless?: true;
}

export interface HostileCase {
  readonly name: string;
  readonly parts: readonly Uint8Array[];
  /** The requests, when it is clear where each begins and ends: one answer each, in this order. */
  readonly requests?: readonly Expected[];
  /**
   * Writes that may be carried out where that is not clear: as many of them as were answered with
   * 2xx are stored.
   */
  readonly writes?: readonly Written[];
  /** User ids in what is the data of a body, or behind what is no request: never stored. */
  readonly hidden?: readonly string[];
  /** What HTTP tells a server to refuse: nothing but one 400, and the end of the connection. */
  readonly refused?: true;
  /** The client closes when it has sent everything, without waiting for answers. */
  readonly cut?: true;
  /**
   * The server may keep a connection whose client has closed its side, until its own time limit.
   */
  readonly mayStall?: true;
  readonly http2?: true;
}

/**
 * Makes the case that a label names; the user ids in it begin with the label, so that no other case
 * has them.
 */
export type CaseMaker = (random: Seeded, label: string) => HostileCase;

export interface Head {
  readonly method?: string;
  readonly target?: string;
  readonly version?: string;
  readonly headers?: readonly string[];
}

export function head(
  { method = "POST", target = "/write", version = "HTTP/1.1", headers = [] }: Head,
): string {
  return [`${method} ${target} ${version}`, "Host: dsproxy", ...headers, "", ""].join("\r\n");
}

export function simpleWrite(userId: string): Written {
  return { userId, value: `value of ${userId}` };
}

export function bodyOf({ userId, value }: Written): string {
  return JSON.stringify({ user_id: userId, value });
}

/** A request that, seen as one, writes. */
export function writeRequest(write: Written, request: Head = {}): string {
  const body = bodyOf(write);
  return head({
    ...request,
    headers: [...(request.headers ?? []), `Content-Length: ${body.length}`],
  }) + body;
}

export function chunked(body: string): string {
  return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
}

/** A body in chunks cut at random, some of them with an extension, perhaps with trailers. */
export function randomlyChunked(random: Seeded, body: Uint8Array): Uint8Array {
  const chunks = random.split(body, 6).flatMap((piece) => {
    const size = random.pick(["", "0", "000"]) + piece.length.toString(16);
    const extension = random.pick(["", "", ";a", ";a=b", ';a="b;c"', "; a = b"]);
    return [`${random.chance(0.5) ? size : size.toUpperCase()}${extension}\r\n`, piece, "\r\n"];
  });
  const trailers = random.pick([
    "",
    "",
    "X-Sum: 1\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\nHost: y\r\n",
  ]);
  return joined(...chunks, random.pick(["0", "000", "0;last"]), "\r\n", trailers, "\r\n");
}
