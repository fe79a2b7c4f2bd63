import assert from "node:assert/strict";
import { crossSiteHeaders, requireSameSite } from "../../../src/http/guards/cross_site.ts";

const FRIENDS = new Set(["https://friend.example"]);
const requestWith = (headers: Record<string, string>, method = "GET") =>
  new Request("http://proxy.example/read", { method, headers });

Deno.test("a program, a page of this origin and an allowed one may call", () => {
  for (
    const headers of [
      {},
      { "sec-fetch-site": "same-origin" },
      { "sec-fetch-site": "none" },
      { host: "proxy.example", origin: "http://proxy.example" },
      { origin: "https://friend.example", "sec-fetch-site": "cross-site" },
    ]
  ) {
    requireSameSite(requestWith(headers as Record<string, string>), FRIENDS);
  }
});

Deno.test("a foreign page may not, whichever header tells of it", () => {
  for (
    const headers of [
      { "sec-fetch-site": "cross-site" },
      { host: "proxy.example", origin: "https://foreign.example" },
      { host: "proxy.example", origin: "https://proxy.example.foreign.example" },
      { host: "proxy.example", origin: "null" },
      { host: "proxy.example", origin: "https://friend.example:444" },
    ]
  ) {
    assert.throws(
      () => requireSameSite(requestWith(headers as Record<string, string>), FRIENDS),
      { code: "cross-site-request" },
      JSON.stringify(headers),
    );
  }
});

Deno.test("a preflight is told the methods of the resource, and no header for a key", () => {
  const origin = "https://friend.example";
  const headers = new Map(
    crossSiteHeaders(requestWith({ origin }, "OPTIONS"), FRIENDS, "DELETE, GET, HEAD"),
  );
  assert.equal(headers.get("access-control-allow-methods"), "DELETE, GET, HEAD");
  assert.equal(headers.get("access-control-allow-origin"), origin);
  assert.ok(!headers.get("access-control-allow-headers")!.includes("authorization"));
});

Deno.test("who is not allowed is told nothing, but that the answer depends on the origin", () => {
  const foreign = requestWith({ origin: "https://foreign.example" }, "OPTIONS");
  assert.deepEqual(crossSiteHeaders(foreign, FRIENDS, "GET"), [["vary", "origin"]]);
  assert.deepEqual(crossSiteHeaders(foreign, new Set(), "GET"), []);
});
