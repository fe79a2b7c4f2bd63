import assert from "node:assert/strict";
import { delay } from "../support/services.ts";
import { Load, type Target } from "./load.ts";

const WRITERS = 2;

/** Accepts connections, and closes each without an answer. */
async function against(mayBeGone?: Target["mayBeGone"]): Promise<readonly string[]> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of listener) connection.close();
  })();
  const load = new Load({ writers: WRITERS, usersPerWriter: 1 });
  load.use({
    url: `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    ...(mayBeGone && { mayBeGone }),
  });
  await delay(100);
  await load.stop();
  listener.close();
  await serving;
  return load.unexpected;
}

Deno.test("an instance that drops a connection and stays breaks a promise", async () => {
  assert.ok((await against()).length >= WRITERS);
  assert.ok((await against(() => Promise.resolve(false))).length >= WRITERS);
});

Deno.test("an instance that was ended owes nobody an answer", async () => {
  assert.deepEqual(await against(() => Promise.resolve(true)), []);
});
