/**
 * Reads request bodies within limits: each in size and time, and all that are under way together in
 * memory.
 */
import { CommonDeadline } from "../deadline.ts";
import { AppError } from "../errors.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import type { Clock } from "../ports/clock.ts";
import { headerField } from "./header_field.ts";

/**
 * A client may take so long to send a body: it is enough for 64 MiB, the largest that can be
 * configured, at 20 Mbit/s.
 */
const TIMEOUT_MS = 30_000;
/**
 * Up to this length a body costs no more than its connection does, and does not count: small writes
 * go on beside a flood of large ones.
 */
const SMALL_BYTES = 64 * 1024;
/** Most records fit in one page of memory. */
const FIRST_BUFFER_BYTES = 4 * 1024;
/** The connection of a refused body stays open for so long, for the client to read the answer. */
const LINGER_MS = 1_000;

export class BodyReader {
  #budgetBytes: number;
  readonly #deadline: CommonDeadline;

  constructor(
    private readonly maxBytes: number,
    private readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">,
  ) {
    // One body of the largest size must fit, whatever was configured.
    this.#budgetBytes = Math.max(MEMORY_BUDGET.bodies.bytes, maxBytes);
    const message = `The body did not arrive within ${TIMEOUT_MS / 1000} s.`;
    this.#deadline = new CommonDeadline(
      TIMEOUT_MS,
      clock,
      () => new AppError("body-timeout", message),
    );
  }

  /**
   * Reads the whole body.
   * @throws AppError `unsupported-media-type`, `body-too-large`, `body-timeout`, `overloaded`,
   * `invalid-json`
   */
  async read(request: Request): Promise<Uint8Array> {
    requireJsonCompatible(headerField(request, "content-type"));
    const declared = headerField(request, "content-length");
    const length = declared === null ? undefined : Number(declared);
    if (length !== undefined && length > this.maxBytes) throw this.#tooLarge();
    try {
      return await (length !== undefined && length <= SMALL_BYTES
        ? this.#deadline.within(request.bytes())
        : this.#readLarge(request, length));
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw new AppError("invalid-json", "The body broke off before its end.", { cause: error });
    }
  }

  async #readLarge(request: Request, length: number | undefined): Promise<Uint8Array> {
    const share = new Share(this);
    try {
      // A declared length is enforced by the HTTP layer, so that only an undeclared one has to be
      // counted here.
      const body = length === undefined
        ? this.#readCounted(request.body, share)
        : this.#readDeclared(request, length, share);
      return await this.#deadline.within(body);
    } finally {
      share.giveBack();
    }
  }

  #readDeclared(request: Request, length: number, share: Share): Promise<Uint8Array> {
    share.claim(length);
    return request.bytes();
  }

  async #readCounted(body: ReadableStream<Uint8Array> | null, share: Share): Promise<Uint8Array> {
    if (body === null) return new Uint8Array();
    const reader = body.getReader();
    let bytes = new Uint8Array(FIRST_BUFFER_BYTES);
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return bytes.subarray(0, length);
      try {
        if (length + value.length > this.maxBytes) throw this.#tooLarge();
        if (length + value.length > bytes.length) {
          bytes = this.#grown(bytes, length + value.length, share);
        }
      } catch (error) {
        // If the body were cancelled at once, the server would go on to read the rest, however
        // long. A moment later, after the answer, it closes.
        this.clock.setTimeout(() => void reader.cancel().catch(() => {}), LINGER_MS);
        throw error;
      }
      // The bytes are copied, as a chunk of one byte may hold on to a buffer of 64 KiB.
      bytes.set(value, length);
      length += value.length;
    }
  }

  #grown(bytes: Uint8Array, needed: number, share: Share): Uint8Array<ArrayBuffer> {
    const size = Math.max(needed, Math.min(2 * bytes.length, this.maxBytes));
    share.claim(size);
    const grown = new Uint8Array(size);
    grown.set(bytes);
    return grown;
  }

  /** A {@link Share} claims from the budget, or gives back; false when that much is not left. */
  spend(bytes: number): boolean {
    if (bytes > this.#budgetBytes) return false;
    this.#budgetBytes -= bytes;
    return true;
  }

  #tooLarge(): AppError {
    return new AppError(
      "body-too-large",
      `The body is larger than ${this.maxBytes} bytes, the most that is accepted.`,
    );
  }
}

/** Keeps how much one body has claimed of the budget. */
class Share {
  #bytes = 0;
  #ended = false;

  constructor(private readonly reader: BodyReader) {}

  /** @param totalBytes of the whole body as far as it is known */
  claim(totalBytes: number): void {
    if (totalBytes <= SMALL_BYTES || this.#ended) return;
    if (!this.reader.spend(totalBytes - this.#bytes)) {
      throw new AppError("overloaded", "Too many large bodies are on their way here. Retry later.");
    }
    this.#bytes = totalBytes;
  }

  giveBack(): void {
    this.#ended = true;
    this.reader.spend(-this.#bytes);
    this.#bytes = 0;
  }
}

/**
 * Any type is read as JSON, as plain `curl -d` sends a form's type; only what certainly is not JSON
 * text is refused.
 */
function requireJsonCompatible(contentType: string | null): void {
  if (contentType === null || contentType === "application/json") return;
  const type = contentType.trim().toLowerCase();
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/.exec(type)?.[1];
  if (
    type.startsWith("multipart/") ||
    (charset !== undefined && charset !== "utf-8" && charset !== "utf8")
  ) {
    throw new AppError(
      "unsupported-media-type",
      `Cannot read a body of type "${contentType}": send JSON in UTF-8.`,
    );
  }
}
