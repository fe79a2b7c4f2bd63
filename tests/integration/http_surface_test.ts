import assert from "node:assert/strict";
import { Dsproxy } from "../support/dsproxy.ts";

interface Refusal {
  readonly name: string;
  readonly body: BodyInit;
  readonly status?: number;
  readonly type: string;
  readonly headers?: Record<string, string>;
  readonly query?: string;
}

const record = (fields: Record<string, unknown>) =>
  JSON.stringify({ user_id: "victim", value: "v", ...fields });

const REFUSED_WRITES: readonly Refusal[] = [
  { name: "nothing", body: "", type: "invalid-json" },
  { name: "no JSON", body: "user_id=a", type: "invalid-json" },
  { name: "half of JSON", body: '{"user_id":"victim","value":"v"', type: "invalid-json" },
  { name: "two documents", body: record({}) + record({}), type: "invalid-json" },
  {
    name: "bytes that are not UTF-8",
    body: new Uint8Array([0x7b, 0xff, 0x7d]),
    type: "invalid-json",
  },
  { name: "an array", body: "[]", type: "invalid-record" },
  { name: "null", body: "null", type: "invalid-record" },
  { name: "an unknown member", body: record({ admin: true }), type: "invalid-record" },
  {
    name: "a __proto__ member",
    body: '{"user_id":"victim","value":"v","__proto__":{"x":1}}',
    type: "invalid-record",
  },
  { name: "no user_id", body: '{"value":"v"}', type: "missing-user-id" },
  { name: "an empty user_id", body: record({ user_id: "" }), type: "missing-user-id" },
  { name: "a number as user_id", body: record({ user_id: 7 }), type: "invalid-record" },
  {
    name: "a user_id of 513 bytes",
    body: record({ user_id: "é".repeat(256) + "x" }),
    type: "invalid-record",
  },
  { name: "a NUL in user_id", body: record({ user_id: "a\0b" }), type: "invalid-record" },
  {
    name: "a lone surrogate in user_id",
    body: '{"user_id":"\\ud800","value":"v"}',
    type: "invalid-record",
  },
  { name: "no value", body: '{"user_id":"victim"}', type: "invalid-record" },
  { name: "a number as value", body: record({ value: 1 }), type: "invalid-record" },
  { name: "a NUL in value", body: record({ value: "a\0b" }), type: "invalid-record" },
  {
    name: "a lone surrogate in value",
    body: '{"user_id":"victim","value":"\\udc00"}',
    type: "invalid-record",
  },
  {
    name: "a value over the limit",
    body: record({ value: "x".repeat(256 * 1024 + 1) }),
    type: "invalid-record",
  },
  { name: "a text as ts", body: record({ ts: "1" }), type: "invalid-record" },
  { name: "a negative ts", body: record({ ts: -1 }), type: "invalid-record" },
  { name: "a fraction as ts", body: record({ ts: 1.5 }), type: "invalid-record" },
  { name: "a ts in milliseconds", body: record({ ts: 1_800_000_000_000 }), type: "invalid-record" },
  {
    name: "a body over the limit",
    body: "x".repeat(1024 * 1024 + 1),
    status: 413,
    type: "body-too-large",
  },
  { name: "a form with parts", body: new FormData(), status: 415, type: "unsupported-media-type" },
  {
    name: "another charset",
    body: record({}),
    headers: { "content-type": "application/json; charset=latin1" },
    status: 415,
    type: "unsupported-media-type",
  },
  {
    name: "an unknown ack level",
    body: record({}),
    query: "?ack=maybe",
    type: "invalid-parameter",
  },
  {
    name: "two ack levels",
    body: record({}),
    query: "?ack=durable&ack=accepted",
    type: "invalid-parameter",
  },
  {
    name: "a foreign page",
    body: record({}),
    headers: { origin: "https://evil.example" },
    status: 403,
    type: "cross-site-request",
  },
];

async function assertProblem(
  response: Response,
  status: number,
  type: string,
  name: string,
): Promise<void> {
  assert.equal(response.status, status, name);
  assert.equal(response.headers.get("content-type"), "application/problem+json", name);
  const document = await response.json();
  assert.equal(document.type, type, name);
  assert.equal(document.status, status, name);
  assert.ok(document.title.length > 0 && document.detail.length > 0, name);
  assert.ok(!/\/src\/|Error:|\n/.test(document.detail), `${name}: ${document.detail}`);
}

Deno.test("the HTTP surface", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-http-" });
  const proxy = await Dsproxy.start({
    DATA_DIR: dataDir,
    BATCH_INTERVAL: "1h",
    CORS_ORIGINS: "https://friend.example",
  });
  const { url } = proxy;
  try {
    for (const { name, body, status = 400, type, headers, query = "" } of REFUSED_WRITES) {
      await t.step(`refuses ${name}`, async () => {
        const response = await fetch(`${url}/write${query}`, {
          method: "POST",
          body,
          ...(headers && { headers }),
        });
        await assertProblem(response, status, type, name);
      });
    }

    await t.step("nothing of what was refused was written, wholly or in part", async () => {
      assert.equal((await proxy.read("victim")).status, 404);
      assert.equal(await proxy.metric("dsproxy_queue_depth"), 0);
    });

    await t.step("reads refuse what they cannot mean", async () => {
      const cases: [string, number, string][] = [
        ["/read", 400, "missing-user-id"],
        ["/read?user_id=", 400, "missing-user-id"],
        ["/read?user_id=a&user_id=b", 400, "invalid-parameter"],
        ["/read?user_id=%ff", 400, "invalid-parameter"],
        ["/read?user_id=%zz", 400, "invalid-parameter"],
        ["/read?user_id=%00", 400, "invalid-record"],
        ["/read?user_id=nobody", 404, "user-not-found"],
        ["/writes/nonsense", 404, "write-not-found"],
        ["/writes/zzzzzzzzzzzz-1", 404, "write-not-found"],
        ["/nowhere", 404, "no-such-path"],
        ["/write/", 404, "no-such-path"],
        ["/", 404, "no-such-path"],
      ];
      for (const [path, status, type] of cases) {
        await assertProblem(await fetch(url + path), status, type, path);
      }
    });

    await t.step("a wrong method is answered with 405 and Allow", async () => {
      for (
        const [path, method, allow] of [["/write", "GET", "POST"], ["/read", "POST", "GET, HEAD"], [
          "/metrics",
          "DELETE",
          "GET, HEAD",
        ]]
      ) {
        const response = await fetch(url + path, { method: method! });
        assert.equal(response.headers.get("allow"), allow);
        await assertProblem(response, 405, "method-not-allowed", `${method} ${path}`);
      }
    });

    await t.step("plain curl, whose content type is a form's, can write", async () => {
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      const response = await fetch(`${url}/write`, {
        method: "POST",
        body: '{"user_id":"curl","value":"v"}',
        headers,
      });
      assert.equal(response.status, 202);
      assert.equal(await response.text(), "accepted");
    });

    await t.step("values and ids round-trip byte for byte", async () => {
      const values = [
        "",
        "'quotes\" and \\ backslash",
        "line\r\nline\n\ttab",
        "😀 é \u2028 \uffff",
        "x".repeat(256 * 1024),
        "NULL",
        "\u0001\u007f",
      ];
      const ids = [
        "__proto__",
        "constructor",
        "a b&c=d",
        "*",
        "'; drop table user_data; --",
        "%41",
        "+",
        "😀",
        "/../x",
        "a".repeat(512),
      ];
      for (const [i, value] of values.entries()) {
        await proxy.accept({ user_id: `value${i}`, value });
        assert.deepEqual(await proxy.read(`value${i}`), { status: 200, value, source: "pending" });
      }
      for (const userId of ids) {
        await proxy.accept({ user_id: userId, value: `of ${userId}` });
        assert.equal((await proxy.read(userId)).value, `of ${userId}`);
      }
    });

    await t.step(
      "a read has an entity tag that turns a repeat into 304, and JSON for who asks",
      async () => {
        await proxy.accept({ user_id: "etag", value: "v", ts: 1_234 });
        const text = await fetch(`${url}/read?user_id=etag`);
        const etag = text.headers.get("etag")!;
        assert.equal(text.headers.get("dsproxy-ts"), "1234");
        assert.equal(await text.text(), "v");
        const repeat = await fetch(`${url}/read?user_id=etag`, {
          headers: { "if-none-match": etag },
        });
        assert.equal(repeat.status, 304);
        assert.equal(await repeat.text(), "");
        const json = await fetch(`${url}/read?user_id=etag`, {
          headers: { accept: "application/json", "if-none-match": etag },
        });
        assert.equal(json.status, 200, "another form has another tag");
        assert.deepEqual(await json.json(), { user_id: "etag", value: "v", ts: 1_234 });
        const head = await fetch(`${url}/read?user_id=etag`, { method: "HEAD" });
        assert.equal(head.status, 200);
        assert.equal(await head.text(), "");
      },
    );

    await t.step("health answers, and says more when asked", async () => {
      for (const path of ["/livez", "/healthz", "/readyz"]) {
        const response = await fetch(url + path);
        assert.equal(response.status, 200);
        assert.equal(await response.text(), "ok\n");
      }
      assert.match(await (await fetch(`${url}/readyz?verbose`)).text(), /\[\+\] journal: ok/);
    });

    await t.step("metrics come in both formats", async () => {
      const classic = await fetch(`${url}/metrics`);
      assert.match(classic.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
      assert.match(await classic.text(), /dsproxy_writes_total\{ack="durable"\} \d/);
      const open = await fetch(`${url}/metrics`, {
        headers: { accept: "application/openmetrics-text; version=1.0.0" },
      });
      assert.match(open.headers.get("content-type")!, /^application\/openmetrics-text/);
      assert.match(await open.text(), /# EOF\n?$/);
    });

    await t.step(
      "an allowed origin is answered with what its browser needs, preflight included",
      async () => {
        const origin = "https://friend.example";
        const preflight = await fetch(`${url}/write`, {
          method: "OPTIONS",
          headers: { origin, "access-control-request-method": "POST" },
        });
        assert.equal(preflight.status, 204);
        assert.equal(preflight.headers.get("access-control-allow-origin"), origin);
        const response = await fetch(`${url}/read?user_id=etag`, { headers: { origin } });
        await response.body?.cancel();
        assert.equal(response.status, 200);
        assert.equal(response.headers.get("access-control-allow-origin"), origin);
        const navigated = await fetch(`${url}/read?user_id=etag`, {
          headers: { "sec-fetch-site": "cross-site" },
        });
        await assertProblem(navigated, 403, "cross-site-request", "sec-fetch-site");
      },
    );

    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    await Deno.remove(dataDir, { recursive: true });
  }
});
