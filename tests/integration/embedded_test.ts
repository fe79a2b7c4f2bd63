import assert from "node:assert/strict";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";

async function withDataDir(work: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-embedded-" });
  try {
    await work(dataDir);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("without configuration a write is read back at once, and after a stop and a start", () =>
  withDataDir(async (dataDir) => {
    let firstId: string;
    {
      await using first = await Dsproxy.start({ DATA_DIR: dataDir });
      const response = await first.write({ user_id: "ada", value: "hello" });
      assert.equal(response.status, 202);
      assert.equal(await response.text(), "accepted");
      firstId = response.headers.get("dsproxy-write-id")!;
      assert.match(firstId, /^[0-9a-z]{12}-1$/);
      assert.deepEqual(await first.read("ada"), { status: 200, value: "hello", source: "pending" });
      await first.stop();
    }
    await using second = await Dsproxy.start({ DATA_DIR: dataDir });
    assert.deepEqual(await second.read("ada"), { status: 200, value: "hello", source: "store" });
    assert.deepEqual(await second.read("ada"), { status: 200, value: "hello", source: "local" });
    const id = await second.accept({ user_id: "ada", value: "again" });
    assert.match(id, /^[0-9a-z]{12}-1$/, "numbers begin anew with each start");
    assert.notEqual(id, firstId, "and the name of the start is another one");
    await second.stop();
  }));

Deno.test("an acknowledged write survives kill -9 before it was flushed", () =>
  withDataDir(async (dataDir) => {
    {
      await using first = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "1h" });
      for (let i = 0; i < 20; i++) await first.accept({ user_id: `u${i}`, value: `v${i}` });
      await first.kill();
    }
    await using second = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "1h" });
    for (let i = 0; i < 20; i++) assert.equal((await second.read(`u${i}`)).value, `v${i}`);
    await second.stop();
  }));

Deno.test("a write of level flushed is committed when it is answered, and its status says so", () =>
  withDataDir(async (dataDir) => {
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "100ms" });
    const response = await proxy.write({ user_id: "u", value: "v" }, "?ack=flushed");
    assert.equal(response.status, 201);
    assert.equal(await response.text(), "flushed");
    const id = response.headers.get("dsproxy-write-id")!;
    assert.equal(await (await fetch(`${proxy.url}/writes/${id}`)).text(), "flushed");
    assert.equal(await proxy.metric("dsproxy_queue_depth"), 0);
    await proxy.stop();
  }));

Deno.test("a write of level accepted is readable at once and flushed like any other", () =>
  withDataDir(async (dataDir) => {
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "100ms" });
    await proxy.accept({ user_id: "u", value: "v" }, "?ack=accepted");
    assert.equal((await proxy.read("u")).value, "v");
    await eventually(
      "the queue is empty",
      async () => await proxy.metric("dsproxy_queue_depth") === 0,
    );
    assert.equal((await proxy.read("u")).value, "v");
    await proxy.stop();
  }));

Deno.test("a full journal refuses with 503 and Retry-After, and accepts again after a flush", () =>
  withDataDir(async (dataDir) => {
    const settings = {
      DATA_DIR: dataDir,
      JOURNAL_MAX_BYTES: "4MiB",
      MAX_BODY_BYTES: "1MiB",
      BATCH_INTERVAL: "3s",
      BATCH_SIZE: "5000",
    };
    await using proxy = await Dsproxy.start(settings);
    const value = "x".repeat(200 * 1024);
    let refused: Response | undefined;
    for (let i = 0; i < 40 && refused === undefined; i++) {
      const response = await proxy.write({ user_id: `u${i}`, value });
      if (response.status === 202) await response.body?.cancel();
      else refused = response;
    }
    assert.equal(refused?.status, 503);
    assert.equal((await refused.json()).type, "queue-full");
    assert.ok(Number(refused.headers.get("retry-after")) > 0);
    await eventually("accepted again", async () => {
      const response = await proxy.write({ user_id: "later", value });
      await response.body?.cancel();
      return response.status === 202;
    });
    await proxy.stop();
  }));

Deno.test("a second process on the same data directory ends with a clear message", () =>
  withDataDir(async (dataDir) => {
    await using first = await Dsproxy.start({ DATA_DIR: dataDir });
    await using second = Dsproxy.spawn({ DATA_DIR: dataDir });
    const { code, log } = await second.ended();
    assert.equal(code, 1);
    assert.ok(log.includes(dataDir) && /another process|in use|locked/i.test(log), log);
    await first.accept({ user_id: "u", value: "still fine" });
    await first.stop();
  }));

Deno.test("SIGTERM flushes what waits and exits 0; a second signal exits at once", () =>
  withDataDir(async (dataDir) => {
    {
      await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "1h" });
      for (let i = 0; i < 10; i++) await proxy.accept({ user_id: `u${i}`, value: "v" });
      proxy.process.kill("SIGINT");
      await proxy.stop();
      assert.match(proxy.log, /"leftInJournal":0/);
    }
    // A request that never ends keeps the first signal's drain busy.
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, SHUTDOWN_GRACE: "1h" });
    const { hostname, port } = new URL(proxy.url);
    using connection = await Deno.connect({ hostname, port: Number(port) });
    await connection.write(
      new TextEncoder().encode("POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"),
    );
    await eventually("the request is under way", async () => await proxy.status("/livez") === 200);
    proxy.process.kill("SIGTERM");
    await eventually("draining", () => Promise.resolve(proxy.log.includes("Shutting down")));
    // At once it would be taken for an echo of the first, as task runners send one.
    await delay(300);
    proxy.process.kill("SIGTERM");
    assert.equal((await proxy.ended()).code, 1);
  }));

Deno.test("--ready tells an instance that listens from one that does not any more", () =>
  withDataDir(async (dataDir) => {
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir });
    const { port } = new URL(proxy.url);
    {
      await using ready = Dsproxy.spawn({ DATA_DIR: dataDir, PROXY_PORT: port }, ["--ready"]);
      assert.equal((await ready.ended()).code, 0);
    }
    await proxy.stop();
    await using notReady = Dsproxy.spawn({ DATA_DIR: dataDir, PROXY_PORT: port }, ["--ready"]);
    assert.equal((await notReady.ended()).code, 1);
  }));
