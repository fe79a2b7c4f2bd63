/** Certificates for servers of tests that speak TLS. */
import { output } from "./services.ts";

/** A self-signed certificate for `name`, and its key, in PEM. */
export async function certificate(name: string): Promise<{ cert: string; key: string }> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-tls-" });
  try {
    const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
    const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=${/^\d/.test(name) ? "IP" : "DNS"}:${name}`];
    const kind = ["-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"];
    await output("openssl", ["req", ...kind, ...subject, "-keyout", key, "-out", cert]);
    return { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
