/** Who may use the admin routes: so far, whoever is on this machine. */
import { AppError } from "../../errors.ts";

const LOOPBACK_ADDRESS = /^(127\.|::1$|::ffff:127\.)/;
const LOOPBACK_NAME = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/i;
/** A proxy on this machine makes everybody's requests come from it; it says so in one of these. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/**
 * @param boundAddress what the server was told to listen on: a peer that has this very address is
 *   this machine
 * @throws AppError `admin-only` unless the request was made on this machine, by its own name, and
 *   not for another one
 */
export function requireLocalAdmin(
  request: Request,
  remoteAddress: string,
  boundAddress: string,
): void {
  const local = LOOPBACK_ADDRESS.test(remoteAddress) || remoteAddress === boundAddress;
  // The name is checked because a browser here can be led to call us under a foreign one.
  const name = (request.headers.get("host") ?? "").replace(/:\d+$/, "");
  const ownName = LOOPBACK_NAME.test(name) || name === boundAddress || name === `[${boundAddress}]`;
  const forwarded = FORWARDED.some((header) => request.headers.has(header));
  if (local && ownName && !forwarded) return;
  throw new AppError(
    "admin-only",
    "Admin routes answer only on this machine, at localhost and without a proxy between.",
  );
}
