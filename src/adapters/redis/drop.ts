/** Drops what Redis holds of a user. */
import { ErrorReply } from "@redis/client";
import type { Version } from "../../domain.ts";
import type { RedisClient } from "./handshake.ts";
import { encodeVersion, type KeyLayout } from "./keys.ts";
import type { Peer } from "./peer.ts";
import { evaluate, FORGET } from "./scripts.ts";

/** It is the reason while the namespace is not known, as the store has not answered yet. */
export const NOBODYS = "Nobody knows yet whose copies Redis has: an older one may come late";

/**
 * Drops the user's value and version; where the script cannot run, at least the version, without
 * which the value is a miss.
 * @param epoch without it nothing can be kept out
 * @param atLeast no offer with this version, or an older one, takes effect for a while
 */
export async function drop(
  client: RedisClient,
  peer: Peer,
  keys: KeyLayout,
  userId: string,
  epoch?: string,
  atLeast?: Version,
): Promise<void> {
  // One more, as what is forgotten is not to come back either; an entry that follows it may be just
  // this version.
  const guard = atLeast === undefined || epoch === undefined
    ? []
    : [encodeVersion({ ...atLeast, seq: atLeast.seq + 1, value: "" }), epoch];
  try {
    await evaluate(client, FORGET, keys.of(userId), guard, peer.untracks);
  } catch (error) {
    if (!(error instanceof ErrorReply)) throw error;
    await client.sendCommand(["DEL", keys.ofVersion(userId)]);
  }
}
