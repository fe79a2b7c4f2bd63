/**
 * The admin routes are for who may open the admin socket, or has a key. Where a request
 * comes from never counts, as a reverse proxy on this machine makes everybody's come from here.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { AppError } from "../../errors.ts";
import { headerField } from "../header_field.ts";
import type { Door } from "../handler.ts";

const BEARER = /^Bearer +(\S+)$/i;

/**
 * @param keyHashes SHA-256 in hex of each key that opens them; none: no key does
 * @throws AppError `admin-only` over the network while there is no key, `unauthorized` to who does
 *   not send one of them
 */
export function requireAdmin(request: Request, door: Door, keyHashes: readonly string[]): void {
  if (door === "admin-socket") return;
  if (keyHashes.length === 0) {
    throw new AppError(
      "admin-only",
      "Over the network admin routes answer to a key only, and none is configured. Use the " +
        "command line (dsproxy --help) or the admin socket on the machine, or set ADMIN_KEY.",
    );
  }
  const key = adminKey(request);
  if (key !== undefined && isKnown(key, keyHashes)) return;
  throw new AppError(
    "unauthorized",
    key === undefined
      ? "Admin routes need the admin key: send it as Authorization: Bearer <key>."
      : "The key is none whose hash is in ADMIN_KEY.",
  );
}

/** Returns the SHA-256 in hex of the key that a request has, which is none or a wrong one perhaps. */
export function adminKeyHash(request: Request): string | undefined {
  const key = adminKey(request);
  return key === undefined ? undefined : hashOf(key).digest("hex");
}

function adminKey(request: Request): string | undefined {
  return BEARER.exec(headerField(request, "authorization") ?? "")?.[1];
}

/** The text of a header stands for bytes, one a character. */
function hashOf(key: string) {
  return createHash("sha256").update(key, "latin1");
}

/** Compares in the same time whichever hash fits, and however much of one does. */
function isKnown(key: string, keyHashes: readonly string[]): boolean {
  const hash = hashOf(key).digest();
  let known = false;
  for (const each of keyHashes) {
    if (timingSafeEqual(hash, Uint8Array.fromHex(each))) known = true;
  }
  return known;
}
