/** What clients are told that only the store could answer, while it is away. */
import assert from "node:assert/strict";
import { ADMIN_KEY, WITH_ADMIN_KEY } from "../support/admin_key.ts";
import { Dsproxy } from "../support/dsproxy.ts";
import { startPostgres } from "../support/postgres.ts";

Deno.test("what only the store knows is 503 while it is away; the queue is told", async () => {
  await using server = await startPostgres();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-away-" });
  const settings = { DATA_DIR: dataDir, DATABASE_URL: server.url, ADMIN_KEY };
  try {
    await using proxy = await Dsproxy.start({ ...settings, SHUTDOWN_GRACE: "1s" });
    const answerOf = async (path: string) => {
      const response = await fetch(proxy.url + path, { headers: WITH_ADMIN_KEY });
      const text = await response.text();
      const type = response.ok ? text : JSON.parse(text).type;
      return [response.status, type, response.headers.has("retry-after")];
    };
    await proxy.accept({ user_id: "u", value: "v" }, "?ack=flushed");
    const elsewhere = "/writes/zzzzzzzzzzzz-1";
    assert.deepEqual(await answerOf(elsewhere), [404, "write-not-found", false]);
    await server.stop();
    const queued = await proxy.accept({ user_id: "u", value: "w" });
    assert.deepEqual(await answerOf(`/writes/${queued}`), [200, "queued", false]);
    const away = [503, "store-unavailable", true];
    assert.deepEqual(await answerOf(elsewhere), away);
    assert.deepEqual(await answerOf("/admin/dead-letters"), away);
    assert.deepEqual(await answerOf("/admin/dead-letters/zzzzzzzzzzzz-1"), away);
    assert.doesNotMatch(proxy.log, /failed on a defect/);
    await proxy.stop();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
