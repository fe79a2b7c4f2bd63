/**
 * Is a user id as bytes, with a hash to find it by. The hash is HalfSipHash-1-3 with a random key
 * for every start of the process: clients choose user ids, and must not be able to choose many that
 * meet in one place. One object is set again and again, so that a look-up makes no garbage.
 */

const encoder = new TextEncoder();

export class UserKey {
  bytes = new Uint8Array(2 * 1024);
  length = 0;
  /** It is a signed number of 32 bits. */
  hash = 0;
  readonly #k0: number;
  readonly #k1: number;

  constructor(seed: Int32Array = crypto.getRandomValues(new Int32Array(2))) {
    this.#k0 = seed[0]!;
    this.#k1 = seed[1]!;
  }

  set(userId: string): void {
    const units = userId.length;
    if (units * 3 > this.bytes.length) this.bytes = new Uint8Array(units * 3);
    const { bytes } = this;
    let length = 0;
    for (; length < units; length++) {
      const unit = userId.charCodeAt(length);
      if (unit > 0x7f) {
        length = encoder.encodeInto(userId, bytes).written;
        break;
      }
      bytes[length] = unit;
    }
    this.length = length;
    this.hash = this.#hashOf(bytes, length);
  }

  #hashOf(bytes: Uint8Array, length: number): number {
    let v0 = this.#k0;
    let v1 = this.#k1;
    let v2 = 0x6c796765 ^ v0;
    let v3 = 0x74656462 ^ v1;
    // After the words of the message come the one with its length, and three rounds to finish.
    const words = length >>> 2;
    for (let word = 0; word < words + 4; word++) {
      let m = 0;
      if (word < words) {
        const at = word << 2;
        m = bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24;
      } else if (word === words) {
        m = length << 24;
        for (let at = words << 2; at < length; at++) m |= bytes[at]! << ((at & 3) << 3);
      }
      v3 ^= m;
      v0 = (v0 + v1) | 0;
      v1 = (v1 << 5 | v1 >>> 27) ^ v0;
      v0 = v0 << 16 | v0 >>> 16;
      v2 = (v2 + v3) | 0;
      v3 = (v3 << 8 | v3 >>> 24) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = (v3 << 7 | v3 >>> 25) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = (v1 << 13 | v1 >>> 19) ^ v2;
      v2 = v2 << 16 | v2 >>> 16;
      v0 ^= m;
      if (word === words) v2 ^= 0xff;
    }
    return v1 ^ v3;
  }
}
