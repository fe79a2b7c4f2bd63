/**
 * The content of a file in memory: written at any place, cut at any place, without a copy for each
 * write.
 */
export class GrowingBytes {
  #buffer = new Uint8Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Shares its memory with this object until the next change. */
  get view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  apply(
    change: { readonly offset: number; readonly bytes: Uint8Array } | { readonly size: number },
  ): void {
    if ("size" in change) return this.#resize(change.size);
    this.#resize(Math.max(this.#length, change.offset + change.bytes.length));
    this.#buffer.set(change.bytes, change.offset);
  }

  become(other: GrowingBytes): void {
    this.#resize(other.length);
    this.#buffer.set(other.view);
  }

  #resize(length: number): void {
    if (length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#buffer.length));
      grown.set(this.view);
      this.#buffer = grown;
    }
    // A hole that a write leaves behind, and what is cut and grown again, reads as zeros.
    if (length < this.#length) this.#buffer.fill(0, length, this.#length);
    this.#length = length;
  }
}
