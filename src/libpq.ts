/** These words of libpq are read by the configuration and obeyed by the adapter of PostgreSQL. */

/**
 * They say how much TLS is wanted, from none to a server whose certificate and name are checked.
 */
export const SSL_MODES = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
] as const;
export type SslMode = typeof SSL_MODES[number];

/**
 * They say which of several servers is used. The last one is ours, and the default:
 * `prefer-read-write` takes a server that takes writes, or else a primary that takes none for now,
 * so that reads go on. A standby is not read from, as it may be behind.
 */
export const TARGET_SESSION_ATTRS = [
  "any",
  "read-write",
  "read-only",
  "primary",
  "standby",
  "prefer-standby",
  "prefer-read-write",
] as const;
export type TargetSessionAttrs = typeof TARGET_SESSION_ATTRS[number];
