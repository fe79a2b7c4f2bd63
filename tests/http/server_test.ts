import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { AppError } from "../../src/errors.ts";
import type { Handlers } from "../../src/http/routes.ts";
import { Server } from "../../src/http/server.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "../support/fakes.ts";

interface Running {
  readonly server: Server;
  readonly url: string;
  readonly lines: readonly string[];
  readonly metrics: ReturnType<typeof idleMetrics>;
  readonly socketPath: string;
}

/** A server on a free port with these handlers and no admin key. */
async function withServer(
  handlers: Partial<Handlers>,
  work: (running: Running) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy_server_" });
  const lines: string[] = [];
  const metrics = idleMetrics();
  const socketPath = join(dataDir, "admin.sock");
  const server = new Server({
    host: "127.0.0.1",
    port: 0,
    origins: new Set(),
    admin: { socketPath, keyHashes: [] },
    dataDir,
  }, { metrics, log: new Log("debug", "json", (line) => lines.push(line)) });
  try {
    server.mount(handlers);
    await work({ server, url: await server.start(), lines, metrics, socketPath });
  } finally {
    await server.stop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function problemOf(response: Response) {
  const { type, status } = await response.json();
  assert.equal(status, response.status);
  return { status, type, retryAfter: response.headers.get("retry-after") };
}

Deno.test("before its handler is there a route is 503 not-ready, and health answers already", () =>
  withServer({ live: () => new Response("ok\n") }, async ({ server, url }) => {
    assert.equal(await (await fetch(`${url}/livez`)).text(), "ok\n");
    const notReady = { status: 503, type: "not-ready", retryAfter: "1" };
    assert.deepEqual(await problemOf(await fetch(`${url}/read?user_id=u`)), notReady);
    assert.deepEqual(await problemOf(await fetch(`${url}/write`, { method: "POST" })), notReady);
    server.mount({ read: () => new Response("v") });
    assert.equal(await (await fetch(`${url}/read?user_id=u`)).text(), "v");
  }));

Deno.test("a defect is 500 internal-error without its reason, which is logged", () =>
  withServer({
    read: () => {
      throw new TypeError("x is not a function");
    },
  }, async ({ url, lines }) => {
    const response = await fetch(`${url}/read?user_id=u`);
    const text = await response.text();
    assert.deepEqual([response.status, JSON.parse(text).type], [500, "internal-error"]);
    assert.doesNotMatch(text, /function/);
    assert.ok(lines.some((line) => /"level":"error".*x is not a function/.test(line)), `${lines}`);
  }));

Deno.test("a slow body is answered with 408, and what is too much with 503, both counted", () =>
  withServer({
    write: ({ query }) => {
      throw new AppError(query === "slow" ? "body-timeout" : "overloaded", "for the test");
    },
  }, async ({ url, metrics }) => {
    const slow = await fetch(`${url}/write?slow`, { method: "POST" });
    assert.deepEqual(await problemOf(slow), {
      status: 408,
      type: "body-timeout",
      retryAfter: null,
    });
    const much = await fetch(`${url}/write?much`, { method: "POST" });
    assert.deepEqual(await problemOf(much), { status: 503, type: "overloaded", retryAfter: "2" });
    const { text } = await metrics.expose(false);
    assert.match(text, /dsproxy_shed_total\{reason="overloaded"\} 1/);
    assert.match(
      text,
      /dsproxy_http_requests_total\{route="\/write",method="POST",code="408"\} 1/,
    );
  }));

Deno.test("guards are asked before the handler, by the door that was used", () => {
  let asked = 0;
  return withServer({
    listDeadLetters: () => {
      asked++;
      return new Response("[]");
    },
  }, async ({ server, url, socketPath }) => {
    await server.openAdminSocket();
    const refused = await fetch(`${url}/admin/dead-letters`);
    assert.deepEqual([(await problemOf(refused)).type, asked], ["admin-only", 0]);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const path = "/admin/dead-letters";
      const request = httpRequest({ socketPath, path, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject);
      request.end();
    });
    assert.deepEqual([status, asked], [200, 1]);
  });
});

Deno.test("405 and OPTIONS name the methods of the path before any guard is asked", () =>
  withServer({}, async ({ url }) => {
    const origin = "https://foreign.example";
    const at = `${url}/admin/dead-letters/x`;
    const wrong = await fetch(at, { method: "PUT", headers: { origin } });
    assert.deepEqual(
      [wrong.headers.get("allow"), (await problemOf(wrong)).status],
      ["DELETE, GET, HEAD", 405],
    );
    const options = await fetch(at, { method: "OPTIONS" });
    assert.deepEqual(
      [options.status, options.headers.get("allow")],
      [204, "DELETE, GET, HEAD, OPTIONS"],
    );
  }));

Deno.test("a server that was stopped listens again", () =>
  withServer({ live: () => new Response("ok\n") }, async ({ server }) => {
    await server.stop();
    const url = await server.start();
    assert.equal(await (await fetch(`${url}/livez`)).text(), "ok\n");
  }));
