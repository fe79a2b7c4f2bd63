/**
 * nginx in front: with the configuration of docs/limits.md, and as a plain reverse proxy with two
 * instances behind it.
 */
import assert from "node:assert/strict";
import { delay, freePort } from "../support/services.ts";
import { startNginx } from "../support/nginx.ts";
import { withDatabase } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { live, type Scene, type Surrounding } from "./surrounding.ts";

const LIMITS_PAGE = new URL("../../docs/limits.md", import.meta.url);

/** The example of the documentation, with the ports that are used here. */
function documented(port: number, serviceAt: string): string {
  const example = /```nginx\n([^`]+)```/.exec(Deno.readTextFileSync(LIMITS_PAGE))?.[1];
  assert.ok(example, "docs/limits.md has no example for nginx");
  const changed = example.replace("listen 80;", `listen 127.0.0.1:${port};`)
    .replace("http://127.0.0.1:8080", `http://${serviceAt}`);
  assert.ok(changed.includes(serviceAt) && changed.includes(`:${port};`), example);
  return changed;
}

/** Nothing but what passes requests on, and takes another instance when one does not want them. */
function plain(port: number, ports: readonly number[]): string {
  const servers = ports.map((each) => `server 127.0.0.1:${each} max_fails=0;`).join(" ");
  return `upstream dsproxy { ${servers} }
server {
    listen 127.0.0.1:${port};
    client_max_body_size 1m;
    location / {
        proxy_pass http://dsproxy;
        proxy_next_upstream error http_503 non_idempotent;
    }
}`;
}

async function strangersAreRefused(url: string): Promise<void> {
  for (const path of ["/admin/dead-letters", "/admin/dead-letters/x"]) {
    const response = await fetch(url + path);
    await response.body?.cancel();
    assert.equal(response.status, 403, `${path} through nginx`);
  }
}

async function largeBodiesAreRefused(url: string): Promise<void> {
  const body = JSON.stringify({ user_id: "large", value: "x".repeat(1_100_000) });
  const response = await fetch(`${url}/write`, { method: "POST", body });
  await response.body?.cancel();
  assert.equal(response.status, 413);
}

/** The largest value there may be comes back as it was. */
async function largeValuesPass(url: string): Promise<void> {
  const value = Array.from({ length: 6_000 }, () => crypto.randomUUID()).join("é\n");
  const body = JSON.stringify({ user_id: "long", value });
  const written = await fetch(`${url}/write`, { method: "POST", body });
  assert.equal(written.status, 202, await written.text());
  const read = await fetch(`${url}/read?user_id=long`);
  assert.equal(await read.text() === value, true, "a long value comes back changed");
}

const asDocumented: Surrounding["run"] = (rounds, random) =>
  withDatabase(async (databaseUrl) => {
    const servicePort = freePort();
    await using nginx = await startNginx((port) => documented(port, `127.0.0.1:${servicePort}`));
    const happen = async () => {
      await strangersAreRefused(nginx.url);
      await largeBodiesAreRefused(nginx.url);
      await largeValuesPass(nginx.url);
      await delay(500);
    };
    const settings = { DATABASE_URL: databaseUrl, PROXY_PORT: String(servicePort) };
    return await live({ databaseUrl, settings, targets: () => [nginx], happen }, rounds, random);
  });

/** Either instance may answer, so what is promised is what has been flushed, a second later. */
const restarts: Surrounding["run"] = (rounds, random) =>
  withDatabase(async (databaseUrl) => {
    const ports = [freePort(), freePort()];
    await using redis = await startRedis();
    await using nginx = await startNginx((port) => plain(port, ports));
    const happen = async (scene: Scene, round: number) => {
      await scene.restart(round % 2);
      await strangersAreRefused(nginx.url);
      await largeBodiesAreRefused(nginx.url);
    };
    const settings = (instance: number) => ({
      DATABASE_URL: databaseUrl,
      REDIS_URL: redis.url,
      PROXY_PORT: String(ports[instance]),
    });
    const load = { ack: "flushed", graceMs: 1_000 } as const;
    return await live(
      { databaseUrl, settings, instances: 2, load, targets: () => [nginx], happen },
      rounds,
      random,
    );
  });

export const NGINX: readonly Surrounding[] = [
  {
    name: "nginx as in limits.md",
    how: "its example, word for word; 413 and 403 come as they should, " +
      "a long value comes back unchanged",
    rounds: { few: 2, many: 10 },
    run: asDocumented,
  },
  {
    name: "nginx in front of two",
    how: "a plain reverse proxy (`max_fails=0`, `proxy_next_upstream error http_503 " +
      "non_idempotent`); the instances are restarted with SIGTERM in turn, under load",
    rounds: { few: 2, many: 8 },
    run: restarts,
  },
];
