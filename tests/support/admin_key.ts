/** A key that opens the admin routes, for instances of the tests. */
import { createHash } from "node:crypto";

const KEY = "a-key-of-the-tests";

/** What the service is configured with. */
export const ADMIN_KEY = createHash("sha256").update(KEY).digest("hex");

/** What a client sends. */
export const WITH_ADMIN_KEY = { authorization: `Bearer ${KEY}` } as const;
