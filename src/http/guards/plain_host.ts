/** The Host header names a host and nothing else. */
import { AppError } from "../../errors.ts";
import { headerField } from "../header_field.ts";

/**
 * The runtime puts the Host header in front of the target, whatever is in it: a path in it would be
 * taken for the target's. So this is asked before any route is looked for.
 * @throws AppError `invalid-host`
 */
export function requirePlainHost(request: Request): void {
  const host = headerField(request, "host");
  if (host !== null && /[/?#\\@\s]/.test(host)) {
    throw new AppError("invalid-host", `Host: ${host.slice(0, 64)} is not a host and port.`);
  }
}
