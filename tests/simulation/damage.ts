/**
 * Flips a bit of a segment, and tells whose record it was in: by a reading of the format that is
 * not the program's own.
 */
import type { SimulatedDisk } from "./disk.ts";
import type { World } from "./world.ts";

const HEADER_BYTES = 4180;
const LENGTH_AT = 4;
const LENGTH_COUNTS_FROM = 8;
const USER_ID_LENGTH_AT = 33;
const TEXT_AT = 35;

/**
 * The values of the records hit (none when it was a header); undefined when there was nothing to
 * hit.
 */
export function damageSomeRecord(world: World, disk: SimulatedDisk): string[] | undefined {
  const { random } = world;
  const segments = disk.files.filter(({ path, bytes }) =>
    /\/[0-9]+\.seg$/.test(path) && bytes.length > HEADER_BYTES
  );
  if (segments.length === 0) return undefined;
  const { path, bytes } = random.pick(segments);
  const offset = random.below(bytes.length);
  // Read before it is damaged.
  const hit = recordAt(bytes, offset);
  if (hit === undefined) return undefined;
  return disk.flipBit(path, offset, random.below(8)) ? hit : undefined;
}

/** It is undefined where nobody can tell, behind earlier damage or in what was torn. */
function recordAt(bytes: Uint8Array, offset: number): string[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = HEADER_BYTES; at + TEXT_AT <= bytes.length;) {
    const end = at + LENGTH_COUNTS_FROM + view.getUint32(at + LENGTH_AT);
    if (end <= at + TEXT_AT || end > bytes.length) {
      return bytes.subarray(at).some((byte) => byte !== 0) ? undefined : [];
    }
    if (offset >= at && offset < end) {
      const valueAt = at + TEXT_AT + view.getUint16(at + USER_ID_LENGTH_AT);
      return [new TextDecoder().decode(bytes.subarray(valueAt, end))];
    }
    at = end;
  }
  return [];
}
