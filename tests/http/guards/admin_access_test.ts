import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { AppError } from "../../../src/errors.ts";
import { requireAdmin } from "../../../src/http/guards/admin_access.ts";

const hashOf = (key: string) => createHash("sha256").update(key).digest("hex");

/** The code of the refusal; undefined when the request is let through. */
function refusalOf(
  headers: Record<string, string>,
  keyHashes: readonly string[],
  door: "network" | "admin-socket" = "network",
): string | undefined {
  try {
    requireAdmin(new Request("http://localhost/admin/x", { headers }), door, keyHashes);
  } catch (error) {
    assert.ok(error instanceof AppError);
    return error.code;
  }
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

Deno.test("the admin socket opens the admin routes, with a key or without", () => {
  assert.equal(refusalOf({}, [], "admin-socket"), undefined);
  assert.equal(refusalOf(bearer("wrong"), [hashOf("right")], "admin-socket"), undefined);
});

Deno.test("over the network nothing opens them while no key is configured", () => {
  for (const headers of [{}, { host: "localhost" }, bearer(""), bearer("x"), bearer(hashOf(""))]) {
    assert.equal(refusalOf(headers, []), "admin-only", JSON.stringify(headers));
  }
});

Deno.test("any of the keys opens them over the network, and nothing else does", () => {
  const hashes = [hashOf("first"), hashOf("sécond")];
  for (const key of ["first", "sécond"]) {
    // Header values are bytes: a client sends its text as UTF-8.
    const sent = String.fromCharCode(...new TextEncoder().encode(key));
    assert.equal(refusalOf(bearer(sent), hashes), undefined, key);
  }
  assert.equal(
    refusalOf({ authorization: "bearer first" }, hashes),
    undefined,
    "scheme in any case",
  );
  const wrong = [
    {},
    { authorization: "first" },
    { authorization: `Basic ${btoa("admin:first")}` },
    { authorization: "Bearer" },
    bearer("firs"),
    bearer("first " + "x"),
    bearer("FIRST"),
    bearer(hashes[0]!),
    { cookie: "authorization=Bearer first" },
  ];
  for (const headers of wrong) {
    assert.equal(refusalOf(headers, hashes), "unauthorized", JSON.stringify(headers));
  }
});
