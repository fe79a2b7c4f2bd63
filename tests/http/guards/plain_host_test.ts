import assert from "node:assert/strict";
import { requirePlainHost } from "../../../src/http/guards/plain_host.ts";

/** `Request` itself would refuse some of these hosts, so this is what the guard reads of one. */
const withHost = (host: string | null) =>
  ({ headers: { get: (name: string) => name === "host" ? host : null } }) as unknown as Request;

Deno.test("a host and a port, or none, is a plain host", () => {
  for (const host of [null, "", "localhost", "example.org:8080", "[::1]:80", "a_b", "*"]) {
    requirePlainHost(withHost(host));
  }
});

Deno.test("a Host header with a piece of a URL in it is refused by name", () => {
  for (const host of ["x/metrics", "x?y", "x#y", "user@x", "x\\y", "x y"]) {
    assert.throws(
      () => requirePlainHost(withHost(host)),
      (error: Error & { code?: string }) =>
        error.code === "invalid-host" && error.message.includes(host),
    );
  }
});
