/**
 * Bytes to the server over a socket of their own, and its answers taken apart by a reader that
 * forgives nothing.
 */
import assert from "node:assert/strict";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/**
 * How a conversation came to its end. `answered`: all expected answers came, and the client closes;
 * `closed`: the server did; `left`: it did when the client had said that it sends no more, and
 * drops what it had not answered by then.
 */
type Ending = "answered" | "closed" | "left" | "reset" | "cut" | "stalled";

export interface Conversation {
  readonly answers: readonly Answer[];
  readonly ending: Ending;
  readonly bytes: Uint8Array;
}

/**
 * Takes what came in apart: the final answers in their order, and how many bytes of an unfinished
 * one are left over.
 */
type AnswerReader = (
  bytes: Uint8Array,
) => { readonly answers: readonly Answer[]; readonly rest: number };

export interface Talk {
  readonly parts: readonly Uint8Array[];
  /**
   * As many answers end the conversation; undefined: it goes on until the server has nothing more
   * to say.
   */
  readonly answersExpected: number | undefined;
  readonly read: AnswerReader;
  /** After these, whether the server has more to say than was expected. */
  readonly lingers: boolean;
  /** The client closes when it has sent everything. */
  readonly cut: boolean;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Longer than a slow machine needs for any answer. */
const LIMIT_MS = 20_000;
/**
 * How long the server may be silent before a client that expects nothing certain says that it will
 * send no more.
 */
const QUIET_MS = 150;

export function ascii(text: string): Uint8Array {
  return encoder.encode(text);
}

export function joined(...parts: readonly (string | Uint8Array)[]): Uint8Array {
  const chunks = parts.map((part) => typeof part === "string" ? ascii(part) : part);
  const result = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    result.set(chunk, offset);
    offset += chunk.length;
  }
  return result;
}

export async function converse(
  baseUrl: string,
  { parts, answersExpected, read, lingers, cut }: Talk,
): Promise<Conversation> {
  const { hostname, port } = new URL(baseUrl);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const inbox = new Inbox(connection);
  try {
    // One write each: without this, the kernel would put the pieces together again.
    connection.setNoDelay(true);
    for (const part of parts) {
      if (!await sent(connection, part)) break;
    }
    if (cut) return inbox.conversation("cut", read);
    const enough = () =>
      answersExpected !== undefined && read(inbox.bytes()).answers.length >= answersExpected;
    while (!inbox.ended && !enough()) {
      if (!await inbox.more(answersExpected === undefined ? QUIET_MS : LIMIT_MS)) break;
    }
    if (lingers && enough()) await inbox.more(QUIET_MS);
    if (!inbox.ended && enough()) return inbox.conversation("answered", read);
    if (inbox.ended) return inbox.conversation(inbox.ended, read);
    await connection.closeWrite().catch(() => {});
    while (!inbox.ended && await inbox.more(LIMIT_MS));
    return inbox.conversation(inbox.ended === "closed" ? "left" : inbox.ended ?? "stalled", read);
  } finally {
    connection.close();
    await inbox.done;
  }
}

/** False when the other side does not take any more. */
async function sent(connection: Deno.Conn, bytes: Uint8Array): Promise<boolean> {
  try {
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    return true;
  } catch {
    return false;
  }
}

/** Reads all the time, also while the client is still sending: neither side can block the other. */
class Inbox {
  readonly done: Promise<void>;
  ended: "closed" | "reset" | undefined;
  #chunks: Uint8Array[] = [];
  #news: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(private readonly connection: Deno.Conn) {
    this.done = this.#read();
  }

  bytes(): Uint8Array {
    const all = joined(...this.#chunks);
    this.#chunks = [all];
    return all;
  }

  /** Whether anything came, or the end did, within the time. */
  async more(limitMs: number): Promise<boolean> {
    const timeout = Promise.withResolvers<false>();
    const timer = setTimeout(() => timeout.resolve(false), limitMs);
    const came = await Promise.race([this.#news.promise.then(() => true), timeout.promise]);
    clearTimeout(timer);
    return came;
  }

  conversation(ending: Ending, read: AnswerReader): Conversation {
    const bytes = this.bytes();
    const { answers, rest } = read(bytes);
    const whole = ending === "answered" || ending === "closed" || ending === "left";
    assert.ok(
      !whole || rest === 0,
      `${rest} bytes after the last answer: ${shown(bytes.subarray(-rest))}`,
    );
    return { answers, ending, bytes };
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    while (this.ended === undefined) {
      try {
        const count = await this.connection.read(buffer);
        if (count === null) this.ended = "closed";
        else this.#chunks.push(buffer.slice(0, count));
      } catch {
        this.ended = "reset"; // By the server, or our own close while a read was under way.
      }
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    }
  }
}

/** @param bodiless which answers have no body whatever their length says: those to HEAD */
export function http1Reader(bodiless: ReadonlySet<number> = new Set()): AnswerReader {
  return (bytes) => {
    const answers: Answer[] = [];
    let at = 0;
    while (at < bytes.length) {
      const headEnd = indexOf(bytes, "\r\n\r\n", at);
      if (headEnd < 0) break;
      const { status, headers } = parseHead(decoder.decode(bytes.subarray(at, headEnd)));
      const bodyAt = headEnd + 4;
      const noBody = status < 200 || status === 204 || status === 304 ||
        bodiless.has(answers.length);
      const length = noBody ? 0 : bodyLength(headers);
      if (bodyAt + length > bytes.length) break;
      at = bodyAt + length;
      if (status >= 200) answers.push({ status, headers, body: bytes.subarray(bodyAt, at) });
    }
    return { answers, rest: bytes.length - at };
  };
}

function parseHead(head: string): { status: number; headers: Headers } {
  const [statusLine, ...lines] = head.split("\r\n");
  const match = /^HTTP\/1\.[01] ([1-5]\d\d) [ -~]*$/.exec(statusLine ?? "");
  assert.ok(match, `not the first line of an answer: ${JSON.stringify(statusLine)}`);
  const headers = new Headers();
  for (const line of lines) {
    const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\uffff]*)$/.exec(line);
    assert.ok(field, `not a header of an answer: ${JSON.stringify(line)}`);
    headers.append(field[1]!, field[2]!);
  }
  return { status: Number(match[1]), headers };
}

function bodyLength(headers: Headers): number {
  const length = headers.get("content-length");
  assert.ok(
    length !== null && /^\d{1,9}$/.test(length),
    `an answer of unclear length: ${JSON.stringify([...headers])}`,
  );
  return Number(length);
}

function indexOf(bytes: Uint8Array, text: string, from: number): number {
  const wanted = ascii(text);
  for (let at = bytes.indexOf(wanted[0]!, from); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

export function shown(bytes: Uint8Array): string {
  return JSON.stringify(decoder.decode(bytes.subarray(0, 600)));
}
