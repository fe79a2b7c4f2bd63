/** What an operator sees of a store that fails while values are read. */
import assert from "node:assert/strict";
import { Dsproxy } from "../support/dsproxy.ts";
import { startPostgres } from "../support/postgres.ts";

Deno.test("look-ups that fail are counted, and logged at times with their reason", async () => {
  await using server = await startPostgres();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-faults-" });
  try {
    await using program = await Dsproxy.start({ DATA_DIR: dataDir, DATABASE_URL: server.url });
    const errors = () => program.metric('dsproxy_store_errors_total{call="latest"}');
    assert.equal((await program.read("nobody")).status, 404);
    assert.equal(await errors(), 0);
    await server.stop();
    for (let i = 0; i < 4; i++) assert.equal((await program.read(`user${i}`)).status, 503);
    assert.equal(await errors(), 4);
    await program.stop();
    const lines = program.log.split("\n").filter((line) => /"call":"latest"/.test(line))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(lines.length, 1, program.log);
    assert.deepEqual([lines[0]!.level, lines[0]!.message], ["warn", "A call of the store failed"]);
    assert.match(String(lines[0]!.error), /PostgreSQL|connect/);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
