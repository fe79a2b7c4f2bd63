import assert from "node:assert/strict";
import { headerField } from "../../src/http/header_field.ts";

const NAMES = ["host", "origin", "accept", "if-none-match", "cookie", "x-bytes", "x-absent"];

/** Fields that are repeated, empty, in capitals, padded, of other bytes than ASCII, and absent. */
const REQUEST =
  "GET / HTTP/1.1\r\nHost: here\r\nOrigin: one\r\nORIGIN: two\r\nAccept:   a, b  \r\n" +
  "If-None-Match: \r\nCookie: a=1\r\nCookie: b=2\r\nX-Bytes: \xe9\xff\r\nConnection: close\r\n\r\n";

/** Returns what `read` makes of the request above, as the server hands it over. */
async function served<T>(read: (request: Request) => T): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    try {
      resolve(read(request));
    } catch (error) {
      reject(error);
    }
    return new Response();
  });
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
  await connection.write(Uint8Array.from(REQUEST, (character) => character.charCodeAt(0)));
  try {
    return await promise;
  } finally {
    await connection.read(new Uint8Array(1_000));
    await server.shutdown();
  }
}

const fieldsOf = (request: Request) => NAMES.map((name) => headerField(request, name));

Deno.test("a field has the value that Headers gives it, whatever was sent", async () => {
  const [fields, headers] = await served((request) => [
    fieldsOf(request),
    NAMES.map((name) => request.headers.get(name)),
  ]);
  assert.deepEqual(fields, headers);
  assert.equal(fields![NAMES.indexOf("origin")], "one, two");
});

Deno.test("a request of the server is asked without its Headers", async () => {
  const fields = await served((request) => {
    Object.defineProperty(request, "headers", {
      get() {
        throw new Error("Headers were made");
      },
    });
    return fieldsOf(request);
  });
  assert.equal(fields[0], "here");
});

Deno.test("a request that no server made is asked by its Headers", () => {
  const request = new Request("http://localhost", { headers: { accept: "a" } });
  assert.deepEqual([headerField(request, "accept"), headerField(request, "x-absent")], ["a", null]);
});
