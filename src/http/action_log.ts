/**
 * Notes in the log whatever somebody changed by an admin route: one line an action, with who asked
 * for it. Users and values are never in it.
 */
import type { Log, LogFields } from "../telemetry/log.ts";
import { adminKeyHash } from "./guards/admin_access.ts";
import type { RequestContext } from "./handler.ts";

/** So much of a hash tells the keys of one service apart, and is of no use to guess one. */
const SHORT_HASH_LENGTH = 8;

export class ActionLog {
  constructor(private readonly log: Pick<Log, "info">) {}

  /** @param action what was done, as the command line calls it */
  note({ request, door }: RequestContext, action: string, fields: LogFields): void {
    const by = door === "admin-socket"
      ? "the admin socket"
      : `the key ${adminKeyHash(request)?.slice(0, SHORT_HASH_LENGTH)}…`;
    this.log.info("Admin action", { event: "admin-action", action, ...fields, by });
  }
}
