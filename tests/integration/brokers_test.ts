/** The program with each broker, from the request to the row. */
import assert from "node:assert/strict";
import { type EngineName, ENGINES } from "../scaled/engines.ts";
import { setUp, valuesIn } from "../scaled/layout.ts";

for (const engine of Object.keys(ENGINES) as EngineName[]) {
  Deno.test(`${engine}: a write goes through the broker and a worker into the database`, async () => {
    await using set = await setUp(engine, 1, 1);
    const [server, worker] = [set.layout.servers[0]!.process, set.layout.workers[0]!.process];
    const flushed = await server.write({ user_id: "ada", value: "one" }, "?ack=flushed");
    assert.deepEqual([flushed.status, await flushed.text()], [201, "flushed"]);
    const replicated = await server.write({ user_id: "bob", value: "two" }, "?ack=replicated");
    assert.deepEqual([replicated.status, await replicated.text()], [202, "accepted"]);
    assert.equal(replicated.headers.get("dsproxy-ack"), "replicated");
    await set.layout.untilStored();
    assert.deepEqual(await valuesIn(set.database.url), ["one", "two"]);
    assert.equal((await server.read("bob")).value, "two");
    const refused = await worker.write({ user_id: "eve", value: "three" });
    assert.deepEqual([refused.status, /worker/.test(await refused.text())], [404, true]);
    assert.equal(await worker.status("/readyz"), 200);
    for (const [{ url }, role] of [[server, "api"], [worker, "worker"]] as const) {
      const headers = { accept: "application/json" };
      const { snapshot } = await (await fetch(`${url}/events`, { headers })).json();
      assert.deepEqual([snapshot.instance.role, snapshot.broker.kind], [role, engine]);
      assert.equal(snapshot.verdict.code, "well", JSON.stringify(snapshot.findings));
    }
    for (const place of set.layout.places) await place.stop();
  });
}
