import assert from "node:assert/strict";
import { ADMIN_KEY, WITH_ADMIN_KEY } from "../support/admin_key.ts";
import { Dsproxy, type Environment } from "../support/dsproxy.ts";
import { startNginx } from "../support/nginx.ts";
import { NGINX } from "./nginx.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(NGINX);

/** Not a word more than what makes it a proxy: no header says for whom it asks. */
const barely = (port: number, serviceAt: string) =>
  `server { listen 127.0.0.1:${port}; location / { proxy_pass ${serviceAt}; } }`;

const CALLS = [
  ["GET", "/admin/dead-letters"],
  ["GET", "/admin/dead-letters?limit=1"],
  ["GET", "/admin/dead-letters/0123456789ab-1"],
  ["HEAD", "/admin/dead-letters"],
  ["DELETE", "/admin/dead-letters/0123456789ab-1"],
  ["POST", "/admin/dead-letters/0123456789ab-1/replay"],
  ["GET", "/admin/dead-letters/count"],
  ["POST", "/admin/dead-letters/discard?all=true"],
  ["POST", "/admin/pause"],
] as const;

/** What somebody may send who knows how an earlier version decided. */
const DISGUISES: readonly Record<string, string>[] = [
  {},
  { host: "localhost" },
  { host: "127.0.0.1", "x-forwarded-for": "127.0.0.1" },
  { authorization: `Bearer ${ADMIN_KEY}` },
];

async function behindNginx(
  settings: Environment,
  work: (url: string, proxy: Dsproxy) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-nginx-" });
  try {
    await using proxy = await Dsproxy.start({ ...settings, DATA_DIR: dataDir });
    await using nginx = await startNginx((port) => barely(port, proxy.url));
    await work(nginx.url, proxy);
    await proxy.stop();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

for (
  const [what, settings, status] of [
    ["without ADMIN_KEY", {}, 403],
    ["with ADMIN_KEY", { ADMIN_KEY }, 401],
  ] as const
) {
  Deno.test(`a bare proxy_pass on this machine opens no admin route to strangers, ${what}`, () =>
    behindNginx(settings, async (url, proxy) => {
      assert.equal((await fetch(`${url}/livez`)).status, 200, "nginx passes requests on");
      for (const at of [url, proxy.url]) {
        for (const [method, path] of CALLS) {
          for (const headers of DISGUISES) {
            const response = await fetch(at + path, { method, headers });
            await response.body?.cancel();
            const what = `${method} ${path} ${JSON.stringify(headers)}`;
            assert.equal(response.status, status, what);
          }
        }
      }
    }));
}

Deno.test("who has the admin key may use it through nginx, too", () =>
  behindNginx({ ADMIN_KEY }, async (url) => {
    const response = await fetch(`${url}/admin/dead-letters`, { headers: WITH_ADMIN_KEY });
    assert.deepEqual([response.status, await response.json()], [200, {
      dead_letters: [],
      next: null,
    }]);
  }));
