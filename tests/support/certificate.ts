/** Certificates for servers of tests that speak TLS. */
import { output } from "./services.ts";

/** Makes a certificate with a key of its own, which lives for longer than any test. */
const MAKE = [
  "req",
  "-x509",
  "-nodes",
  "-newkey",
  "ec",
  "-pkeyopt",
  "ec_paramgen_curve:prime256v1",
  "-days",
  "2",
];

/** A self-signed certificate for `name`, and its key, in PEM. */
export async function certificate(name: string): Promise<{ cert: string; key: string }> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-tls-" });
  try {
    const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
    const subject = [
      "-subj",
      `/CN=${name}`,
      "-addext",
      `subjectAltName=${/^\d/.test(name) ? "IP" : "DNS"}:${name}`,
    ];
    await output("openssl", [...MAKE, ...subject, "-keyout", key, "-out", cert]);
    return { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Files in `folder`, PEM: an authority's certificate, and for this machine one that it signed, with
 * its key.
 */
export async function signedCertificate(
  folder: string,
): Promise<[authority: string, cert: string, key: string]> {
  const [ca, caKey, cert, key] = ["ca.pem", "ca.key", "cert.pem", "key.pem"].map((name) =>
    `${folder}/${name}`
  );
  await output("openssl", [...MAKE, "-subj", "/CN=authority", "-keyout", caKey!, "-out", ca!]);
  const names = [
    "-addext",
    "subjectAltName=IP:127.0.0.1",
    "-addext",
    "basicConstraints=critical,CA:FALSE",
  ];
  const signed = ["-subj", "/CN=127.0.0.1", ...names, "-CA", ca!, "-CAkey", caKey!];
  await output("openssl", [...MAKE, ...signed, "-keyout", key!, "-out", cert!]);
  return [ca!, cert!, key!];
}
