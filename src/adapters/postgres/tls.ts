/** TLS as libpq does it: what each `sslmode` tries, and when it goes on to its second choice. */
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
  /** Certificates in PEM to trust instead of the system's. */
  readonly sslRootCert?: string;
}

/** One way to connect: `false` in the clear, else TLS. */
export type Channel = false | ConnectionOptions;

/**
 * In the order in which they are to be tried; the second one only where {@link mayTryNextChannel}
 * allows it.
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
      // As libpq: a root certificate turns `require` into `verify-ca`.
      return [sslRootCert === undefined ? anyCertificate : verified(sslRootCert, host, false)];
    case "verify-ca":
    case "verify-full":
      return [verified(sslRootCert, host, sslMode === "verify-full")];
  }
}

const INVALID_AUTHORIZATION = "28000";

/**
 * Whether another channel may do better: the server's access rules, or what it can speak, are at
 * fault. A wrong password is not.
 */
export function mayTryNextChannel(error: unknown, answered: boolean): boolean {
  return error instanceof pg.DatabaseError ? error.code === INVALID_AUTHORIZATION : answered;
}

/** A host that begins with a slash is the folder of a Unix socket. */
export function isSocketFolder(host: string): boolean {
  return host.startsWith("/");
}

function verified(ca: string | undefined, host: string, withName: boolean): ConnectionOptions {
  return {
    ...named(host),
    ...(ca !== undefined && { ca }),
    // Told by name, as the handshake leaves the name out where it is an address.
    checkServerIdentity: withName
      ? (_name: string, certificate: PeerCertificate) => checkIdentity(host, certificate)
      : () => undefined,
  };
}

function named(host: string): ConnectionOptions {
  return isIP(host) === 0 ? { servername: host } : {};
}
