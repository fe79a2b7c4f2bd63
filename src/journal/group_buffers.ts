/** Keeps the buffers that groups are encoded in, as a new one costs as much as many small writes. */

/** A buffer begins with room for some hundred small records, and grows. */
const BUFFER_BYTES = 64 * 1024;
/** A buffer that grew beyond this is not kept for the next group: twice a full group is enough. */
const SPARE_BYTES_MAX = 4 * 1024 * 1024;
/** One is written while the other one fills. */
const SPARES_MAX = 2;

export class GroupBuffers {
  readonly #spares: Uint8Array[] = [];

  take(): Uint8Array {
    return this.#spares.pop() ?? new Uint8Array(BUFFER_BYTES);
  }

  giveBack(buffer: Uint8Array): void {
    if (buffer.length > SPARE_BYTES_MAX || this.#spares.length === SPARES_MAX) return;
    this.#spares.push(buffer);
  }
}
