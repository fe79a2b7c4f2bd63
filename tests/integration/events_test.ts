/** What `/events` and `dsproxy top` say of real instances, and what an outage looks like there. */
import assert from "node:assert/strict";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { Watcher } from "../support/events.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { startPostgres } from "../support/postgres.ts";
import { sharedRedisUrl } from "../support/redis.ts";
import { delay } from "../support/services.ts";

class Instances extends AsyncDisposableStack {
  async add(settings: Environment): Promise<Dsproxy> {
    const dir = this.adopt(
      await Deno.makeTempDir({ prefix: "dsproxy-events-" }),
      (path) => Deno.remove(path, { recursive: true }),
    );
    return this.use(await Dsproxy.start({ DATA_DIR: dir, ...settings }));
  }
}

/** Writes now and then until it is told to end. */
function writing(proxy: Dsproxy): () => Promise<void> {
  let goesOn = true;
  const done = (async () => {
    for (let i = 0; goesOn; i++) {
      await proxy.accept({ user_id: `user ${i % 7}`, value: "a secret value" });
      await delay(20);
    }
  })();
  return async () => {
    goesOn = false;
    await done;
  };
}

async function topOnce(proxy: Dsproxy): Promise<{ code: number; stdout: string; log: string }> {
  return await Dsproxy.spawn(proxy.settings, ["top", "--once"]).ended();
}

Deno.test("outages are told as sentences while they last, by a stream, as JSON, and in a terminal", async () => {
  await using stack = new Instances();
  const server = stack.use(await startPostgres());
  const redis = stack.use(FaultProxy.to(Number(new URL(sharedRedisUrl()).port)));
  const settings = {
    DATABASE_URL: server.url,
    REDIS_URL: redis.urlOf(sharedRedisUrl()),
    CACHE_PREFIX: `${crypto.randomUUID()}:`,
    BATCH_INTERVAL: "200ms",
  };
  const [one, two] = await Promise.all([stack.add(settings), stack.add(settings)]);
  await using watcher = await Watcher.of(one!.url);
  const { headers } = watcher.response;
  assert.equal(headers.get("content-type"), "text/event-stream");
  assert.equal(headers.get("cache-control"), "no-store");
  assert.equal(headers.get("x-accel-buffering"), "no");
  assert.equal(await one!.metric("dsproxy_viewers"), 1);
  const stopWriting = writing(one!);

  const well = await watcher.until(
    "all is well, and both are seen",
    (snapshot) =>
      snapshot.verdict.code === "well" && snapshot.writesPerSecond > 0 &&
      snapshot.flush.rowsPerSecond > 0 && snapshot.instances.length === 2,
  );
  assert.deepEqual(well.deadLetters, { count: 0, reasons: [] });
  assert.ok(watcher.history!.atMs.length > 0);
  const { code, stdout } = await topOnce(two!);
  assert.match(stdout, /\[ok\] All is well\.[^]*2 instances\n/);
  assert.equal(code, 0);

  await server.kill();
  const { verdict } = await watcher.until("the outage", (it) => it.verdict.code === "store-away");
  assert.match(verdict.text, /^PostgreSQL has not answered for \d+ s; \d+ writes? waits? safely/);
  await server.start();
  await watcher.until("the outage is over", ({ verdict }) => verdict.level !== "problem");

  redis.weather = "refuse";
  redis.cut();
  await watcher.until(
    "Redis is away",
    ({ findings }) =>
      findings.some(({ code, level }) => code === "redis-away" && level === "warning"),
  );
  redis.weather = "pass";
  await watcher.until(
    "Redis is back",
    ({ findings }) =>
      findings.every(({ code, level }) => code !== "redis-away" && level !== "problem"),
  );
  assert.doesNotMatch(JSON.stringify(watcher.last), /secret value|user \d/);

  await stopWriting();
  // One that takes nothing holds up the stop as little as one that does.
  using deaf = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(one!.url).port) });
  await deaf.write(new TextEncoder().encode("GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n"));
  await eventually("both watch", async () => await one!.metric("dsproxy_viewers") === 2);
  await one!.stop();
  await watcher.ended;
  assert.doesNotMatch(one!.log, /still open|failed on a defect|"level":"error"/);
  await two!.stop();
});

Deno.test("who asks for JSON is answered once, and with DASHBOARD=off nobody is", async () => {
  await using stack = new Instances();
  const [on, off] = await Promise.all([stack.add({}), stack.add({ DASHBOARD: "off" })]);
  const ask = async (proxy: Dsproxy, path: string, accept: string, method = "GET") => {
    const response = await fetch(proxy.url + path, { method, headers: { accept } });
    const type = response.headers.get("content-type");
    const isStream = type === "text/event-stream" && method === "GET";
    const text = isStream ? await response.body!.cancel().then(() => "") : await response.text();
    return { status: response.status, type, json: text === "" ? undefined : JSON.parse(text) };
  };
  const json = await ask(on!, "/events", "application/json");
  assert.deepEqual([json.status, json.type], [200, "application/json"]);
  assert.deepEqual(Object.keys(json.json), ["snapshot"]);
  assert.equal(json.json.snapshot.verdict.code, "well");
  const both = await ask(on!, "/events?history", "application/json");
  assert.deepEqual(Object.keys(both.json), ["history", "snapshot"]);
  for (const accept of ["*/*", "text/event-stream", "text/event-stream, application/json"]) {
    assert.equal((await ask(on!, "/events", accept)).type, "text/event-stream", accept);
  }
  const head = await ask(on!, "/events", "*/*", "HEAD");
  assert.deepEqual([head.status, head.type], [200, "text/event-stream"]);
  const refused = await ask(off!, "/events", "application/json");
  assert.deepEqual([refused.status, refused.json.type], [404, "no-such-path"]);
  await on!.stop();
  await off!.stop();
});
