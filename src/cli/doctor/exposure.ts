/** Looks for `dsproxy doctor` at who can reach the service, and whether it answers. */
import type { Config } from "../../config/config.ts";
import type { Remark } from "../../ports/remark.ts";
import { askReady } from "../instance_client.ts";

export function examineExposure(
  { listen: { host, port }, admin: { keyHashes } }: Pick<Config, "listen" | "admin">,
): readonly Remark[] {
  const isLocal = /^(localhost|127\..*|::1)$/.test(host);
  const place = `${host}:${port}`;
  return [
    isLocal
      ? { topic: "api", grade: "ok", found: `${place} is reached from this machine alone` }
      : {
        topic: "api",
        grade: "risk",
        found: `whoever reaches ${place} may read and write, in plain HTTP`,
        advice:
          "Let only your own services reach it, or set PROXY_HOST=127.0.0.1 and put a proxy " +
          "with TLS before it (docs/limits.md).",
      },
    keyHashes.length === 0 || isLocal
      ? {
        topic: "admin",
        grade: "ok",
        found: keyHashes.length === 0
          ? "the admin routes are open by the socket alone"
          : `${keyHashes.length} keys open the admin routes, from this machine`,
      }
      : {
        topic: "admin",
        grade: "note",
        found: `${keyHashes.length} keys open the admin routes over the network`,
        advice: "Send them over TLS alone, and leave ADMIN_KEY out where the socket is enough.",
      },
  ];
}

/** Asks the instance that is to listen there, if one does. */
export async function examineInstance(
  config: Pick<Config, "listen">,
): Promise<readonly Remark[]> {
  const topic = "instance";
  const { ok, message } = await askReady(config);
  if (ok) return [{ topic, grade: "ok", found: "it runs, and is ready" }];
  if (/status \d/.test(message)) {
    const advice = "Look at /readyz?verbose and at the last lines of its log.";
    return [{ topic, grade: "problem", found: `it runs, and is ${message}`, advice }];
  }
  const advice = "Start it, if it is to run here now.";
  return [{ topic, grade: "note", found: message.replace(/^not ready: /, ""), advice }];
}
