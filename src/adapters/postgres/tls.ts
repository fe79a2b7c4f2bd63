/**
 * Does TLS as libpq does it: it knows what each `sslmode` tries, and when it goes on to its second
 * choice.
 */
import { isIP } from "node:net";
import {
  checkServerIdentity as checkIdentity,
  type ConnectionOptions,
  type PeerCertificate,
} from "node:tls";
import pg from "pg";
import type { SslMode } from "../../libpq.ts";

export interface TlsOptions {
  readonly sslMode: SslMode;
  /** It has certificates in PEM that are trusted instead of the system's. */
  readonly sslRootCert?: string;
}

/** It is one way to connect: `false` is in the clear, anything else is TLS. */
export type Channel = false | ConnectionOptions;

/**
 * Returns the channels in the order in which they are to be tried; the second one only where {@link
 * mayTryNextChannel} allows it.
 */
export function channels({ sslMode, sslRootCert }: TlsOptions, host: string): readonly Channel[] {
  if (isSocketFolder(host)) return [false];
  const anyCertificate: Channel = { ...named(host), rejectUnauthorized: false };
  switch (sslMode) {
    case "disable":
      return [false];
    case "allow":
      return [false, anyCertificate];
    case "prefer":
      return [anyCertificate, false];
    case "require":
      // As in libpq, a root certificate turns `require` into `verify-ca`.
      return [sslRootCert === undefined ? anyCertificate : verified(sslRootCert, host, false)];
    case "verify-ca":
    case "verify-full":
      return [verified(sslRootCert, host, sslMode === "verify-full")];
  }
}

const INVALID_AUTHORIZATION = "28000";

/**
 * Returns whether another channel may do better: the server's access rules, or what it can speak,
 * are at fault. A wrong password is not.
 */
export function mayTryNextChannel(error: unknown, answered: boolean): boolean {
  return error instanceof pg.DatabaseError ? error.code === INVALID_AUTHORIZATION : answered;
}

/** Returns true for a host that begins with a slash, which is the folder of a Unix socket. */
export function isSocketFolder(host: string): boolean {
  return host.startsWith("/");
}

function verified(ca: string | undefined, host: string, withName: boolean): ConnectionOptions {
  return {
    ...named(host),
    ...(ca !== undefined && { ca }),
    // The name is given here, as the handshake leaves it out where it is an address.
    checkServerIdentity: withName
      ? (_name: string, certificate: PeerCertificate) => checkIdentity(host, certificate)
      : () => undefined,
  };
}

function named(host: string): ConnectionOptions {
  return isIP(host) === 0 ? { servername: host } : {};
}
