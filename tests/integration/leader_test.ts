/** Who leads, as operators see it, with real processes, Redis and PostgreSQL. */
import assert from "node:assert/strict";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";
import { type RedisServer, sharedRedisUrl, startRedis } from "../support/redis.ts";

async function leaderLine({ url }: Dsproxy): Promise<string> {
  const text = await (await fetch(`${url}/readyz?verbose`)).text();
  return /^\[\+\] leader: (.*)$/m.exec(text)?.[1] ?? "";
}

async function isLeader(proxy: Dsproxy): Promise<boolean> {
  return await proxy.metric("dsproxy_leader") === 1;
}

class Instances extends AsyncDisposableStack {
  readonly started: Dsproxy[] = [];

  async add(settings: Environment): Promise<Dsproxy> {
    const dir = this.adopt(
      await Deno.makeTempDir({ prefix: "dsproxy-leader-" }),
      (path) => Deno.remove(path, { recursive: true }),
    );
    const proxy = this.use(await Dsproxy.start({ DATA_DIR: dir, ...settings }));
    this.started.push(proxy);
    return proxy;
  }
}

const WHO = /^(this instance, )?[0-9a-z]{12}\/[0-9a-z]{12}, since 20\d\d-\S+Z( \(term \d+\))?$/;

for (const keeper of ["PostgreSQL", "Redis"] as const) {
  Deno.test(`${keeper} keeps the lease: one of two leads, all say who, and the other follows`, async () => {
    await using stack = new Instances();
    const database = stack.adopt(await createDatabase(), (it) => it.drop());
    const redis = { REDIS_URL: sharedRedisUrl(), CACHE_PREFIX: `${crypto.randomUUID()}:` };
    const settings = { DATABASE_URL: database.url, ...(keeper === "Redis" && redis) };
    const first = await stack.add(settings);
    await eventually("the first leads", () => isLeader(first));
    const second = await stack.add(settings);
    await eventually("the second knows who leads", async () => WHO.test(await leaderLine(second)));
    assert.equal(await isLeader(second), false);
    const [own, others] = [await leaderLine(first), await leaderLine(second)];
    assert.match(own, /^this instance/);
    assert.ok(own.includes(others.split(",")[0]!), `${own} and ${others}`);
    await first.stop();
    await eventually("the second leads", () => isLeader(second), 8_000);
    assert.match(await leaderLine(second), /\(term 2\)$/);
    assert.match(first.log, /"message":"This instance leads"/);
    await second.stop();
  });
}

Deno.test("with Redis away nobody leads after a while, and nothing else stops", async () => {
  await using stack = new Instances();
  const database = stack.adopt(await createDatabase(), (it) => it.drop());
  const redis: RedisServer = stack.use(await startRedis());
  const proxy = await stack.add({ DATABASE_URL: database.url, REDIS_URL: redis.url });
  await eventually("it leads", () => isLeader(proxy));
  await redis.kill();
  await eventually("nobody leads", async () => !await isLeader(proxy));
  assert.match(await leaderLine(proxy), /^nobody is known to lead: Redis at /);
  await proxy.accept({ user_id: "ada", value: "written" }, "?ack=flushed");
  assert.equal((await proxy.read("ada")).value, "written");
  assert.equal(await proxy.status("/readyz"), 200);
  await redis.start();
  await eventually("it leads again", () => isLeader(proxy));
  await proxy.stop();
});

Deno.test("two databases that share a Redis have a leader each", async () => {
  await using stack = new Instances();
  const redis = { REDIS_URL: sharedRedisUrl(), CACHE_PREFIX: `${crypto.randomUUID()}:` };
  for (let i = 0; i < 2; i++) {
    const database = stack.adopt(await createDatabase(), (it) => it.drop());
    const proxy = await stack.add({ DATABASE_URL: database.url, ...redis });
    await eventually("each leads", () => isLeader(proxy));
  }
  for (const proxy of stack.started) await proxy.stop();
});

Deno.test("an embedded instance leads, as it is alone", async () => {
  await using stack = new Instances();
  const proxy = await stack.add({});
  await eventually("it leads", () => isLeader(proxy));
  assert.match(await leaderLine(proxy), WHO);
  await proxy.stop();
});

Deno.test("a worker leaves leading to the API servers", async () => {
  await using stack = new Instances();
  const database = stack.adopt(await createDatabase(), (it) => it.drop());
  const broker = { QUEUE: "rabbitmq", RABBITMQ_URL: "amqp://127.0.0.1:9" }; // Nobody is there.
  const settings = { ...broker, DATABASE_URL: database.url };
  const worker = await stack.add({ ...settings, ROLE: "worker" });
  const server = await stack.add({ ...settings, ROLE: "api" });
  await eventually("the API server leads", () => isLeader(server));
  assert.equal(await isLeader(worker), false);
  assert.match(await leaderLine(worker), /^one of the API servers/);
  await Promise.all([worker.stop(), server.stop()]);
});
