import assert from "node:assert/strict";
import { ADMIN_KEY, WITH_ADMIN_KEY } from "../support/admin_key.ts";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";

async function withSettings(work: (settings: Environment) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-steering-" });
  try {
    // Nothing is flushed by itself for as long as a test takes.
    await work({ DATA_DIR: dataDir, BATCH_INTERVAL: "1h", ADMIN_KEY });
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function post(proxy: Dsproxy, action: string) {
  const response = await fetch(`${proxy.url}/admin/${action}`, {
    method: "POST",
    headers: WITH_ADMIN_KEY,
  });
  return { status: response.status, body: await response.json() };
}

async function command(proxy: Dsproxy, ...args: string[]) {
  await using run = Dsproxy.spawn(proxy.settings, args);
  const { code, stdout, log } = await run.ended();
  return { code, text: stdout + log };
}

const depth = (proxy: Dsproxy) => proxy.metric("dsproxy_queue_depth");

Deno.test("a flush brings what waits to the store, and its answer says that it is there", () =>
  withSettings(async (settings) => {
    await using proxy = await Dsproxy.start(settings);
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push(await proxy.accept({ user_id: `u${i}`, value: "v" }));
    assert.equal(await depth(proxy), 3);
    assert.deepEqual(await post(proxy, "flush"), {
      status: 200,
      body: { stored: true, waiting: 0 },
    });
    assert.equal(await (await fetch(`${proxy.url}/writes/${ids[2]}`)).text(), "flushed");
    assert.equal((await post(proxy, "flush")).status, 200, "there may be nothing to flush");
    await proxy.accept({ user_id: "u", value: "v" });
    assert.deepEqual(await command(proxy, "flush"), {
      code: 0,
      text: "Flushed; 0 writes wait by now.\n",
    });
    const line = proxy.log.split("\n").find((line) => line.includes('"action":"flush"'))!;
    const { message, by, stored, level } = JSON.parse(line);
    assert.deepEqual([message, stored, level], ["Admin action", true, "info"]);
    assert.equal(by, `the key ${ADMIN_KEY.slice(0, 8)}…`);
    assert.match(proxy.log, /"action":"flush".*"by":"the admin socket"/);

    await proxy.accept({ user_id: "last", value: "v" });
    const drained = { status: 200, body: { stored: true, waiting: 0 } };
    assert.deepEqual(await post(proxy, "drain"), drained);
    const refused = await proxy.write({ user_id: "u", value: "late" });
    assert.deepEqual([refused.status, (await refused.json()).type], [503, "shutting-down"]);
    const ready = await fetch(`${proxy.url}/readyz`);
    assert.deepEqual([ready.status, (await ready.text()).startsWith("[-] delivery: drained")], [
      503,
      true,
    ]);
    assert.equal((await proxy.read("last")).value, "v", "reads are answered");
    assert.deepEqual(await post(proxy, "drain"), drained, "it may be asked for again");
    await post(proxy, "resume");
    assert.equal(await proxy.status("/readyz"), 200);
    await proxy.accept({ user_id: "u", value: "v" });
    await proxy.stop();
  }));

Deno.test("a paused instance accepts, reads, says so, flushes nothing at a stop, and goes on after a start", () =>
  withSettings(async (settings) => {
    {
      await using proxy = await Dsproxy.start(settings);
      await proxy.accept({ user_id: "before", value: "v" });
      const paused = await command(proxy, "pause");
      assert.equal(paused.code, 0, paused.text);
      assert.match(
        paused.text,
        /^Paused; 1 write waits in the journal\. dsproxy resume goes on\.$/m,
      );
      assert.equal(await proxy.metric("dsproxy_paused"), 1);
      // More than a full batch, which would be flushed at once.
      for (let i = 0; i < 60; i++) await proxy.accept({ user_id: `u${i}`, value: `v${i}` });
      assert.deepEqual(await proxy.read("u59"), { status: 200, value: "v59", source: "pending" });
      const ready = await fetch(`${proxy.url}/readyz?verbose`);
      assert.equal(ready.status, 200);
      assert.match(await ready.text(), /\[\+\] delivery: paused since 20.*\/admin\/resume/);
      const flushed = await post(proxy, "flush");
      assert.deepEqual([flushed.status, flushed.body.type], [409, "paused"]);
      const again = await post(proxy, "pause");
      assert.deepEqual([again.body.paused, again.body.quiet, again.body.waiting], [true, true, 61]);
      assert.equal((await post(proxy, "resume")).status, 200);
      await eventually("what waited is stored", async () => await depth(proxy) === 0);
      assert.equal(await proxy.metric("dsproxy_paused"), 0);
      assert.match(await (await fetch(`${proxy.url}/readyz?verbose`)).text(), /delivery: ok/);
      await post(proxy, "pause");
      await proxy.accept({ user_id: "left", value: "v" });
      await proxy.stop();
      assert.match(proxy.log, /"leftInJournal":1/, "a stop does not resume");
    }
    await using proxy = await Dsproxy.start(settings);
    assert.equal(await proxy.metric("dsproxy_paused"), 0, "a start does");
    assert.equal((await post(proxy, "flush")).status, 200);
    assert.equal((await proxy.read("left")).value, "v");
    await proxy.stop();
  }));
