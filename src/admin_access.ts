/** Who may use the admin routes: so far, whoever is on this machine. */
import { AppError } from "./errors.ts";

const LOOPBACK_ADDRESS = /^(127\.|::1$|::ffff:127\.)/;
const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;
/** A proxy on this machine makes everybody's requests come from it; it says so in one of these. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/** @throws AppError `admin-only` unless the request was made on this machine, by its own name, and not for another one */
export function requireLocalAdmin(request: Request, remoteHostname: string): void {
  const forwarded = FORWARDED.some((name) => request.headers.has(name));
  // The name is checked because a browser here can be led to call us under a foreign one.
  const ownName = LOOPBACK_HOST.test(request.headers.get("host") ?? "");
  if (LOOPBACK_ADDRESS.test(remoteHostname) && ownName && !forwarded) return;
  throw new AppError(
    "admin-only",
    "Admin routes answer only on this machine, at localhost and without a proxy between.",
  );
}
