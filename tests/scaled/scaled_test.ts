/** API servers and workers around a real broker, as one service. */
import assert from "node:assert/strict";
import { assertAuditClean } from "../fault/audited.ts";
import { assertNothingBroken, Load } from "../fault/load.ts";
import { seedOf } from "../fault/scenario.ts";
import { runChaos } from "./chaos.ts";
import { type EngineName, ENGINES } from "./engines.ts";
import { Layout, setUp, valuesIn } from "./layout.ts";
import { eventually } from "../support/dsproxy.ts";
import { startPgBouncer } from "../support/pgbouncer.ts";
import { createDatabase, once, withDatabase } from "../support/postgres.ts";
import { withRole } from "../support/postgres_roles.ts";
import { Random } from "../support/random.ts";
import { delay } from "../support/services.ts";

for (const engine of Object.keys(ENGINES) as EngineName[]) {
  Deno.test(`${engine}: with the broker away writes and reads go on, and arrive when it is back`, async () => {
    await using set = await setUp(engine, 1, 1);
    const server = set.layout.servers[0]!.process;
    await server.accept({ user_id: "ada", value: "before" }, "?ack=flushed");
    await delay(set.broker.keptAfterMs);
    await set.broker.kill();
    for (let i = 0; i < 200; i++) {
      await server.accept({ user_id: `user${i}`, value: `meanwhile ${i}` });
    }
    assert.equal((await server.read("user7")).value, "meanwhile 7");
    const replicated = await server.write({ user_id: "bob", value: "asked" }, "?ack=replicated");
    assert.deepEqual([replicated.status, replicated.headers.get("dsproxy-ack")], [202, "durable"]);
    await replicated.body?.cancel();
    await eventually("it is told that the broker is away", async () => {
      const ready = await fetch(`${server.url}/readyz?verbose`);
      return /\[\+\] broker: (?!ok)/.test(await ready.text()) && ready.status === 200;
    });
    assert.equal(await server.metric("dsproxy_queue_depth"), 201);
    await set.broker.start();
    await set.layout.untilStored();
    assert.equal((await valuesIn(set.database.url)).length, 202);
    for (const place of set.layout.places) await place.stop();
  });

  Deno.test(`${engine}: with all workers away writes go on and are read where they were accepted`, async () => {
    await using set = await setUp(engine, 2, 1);
    await set.layout.workers[0]!.kill();
    const [a, b] = set.layout.servers.map(({ process }) => process);
    for (let i = 0; i < 100; i++) await a!.accept({ user_id: `a${i}`, value: `a ${i}` });
    for (let i = 0; i < 100; i++) await b!.accept({ user_id: `b${i}`, value: `b ${i}` });
    assert.equal((await a!.read("a99")).value, "a 99");
    assert.equal((await b!.read("b99")).value, "b 99");
    const id = await a!.accept({ user_id: "last", value: "seen elsewhere" });
    await set.layout.workers[0]!.start();
    assert.equal((await b!.read("last", id)).value, "seen elsewhere");
    await set.layout.untilStored();
    assert.equal((await valuesIn(set.database.url)).length, 201);
    for (const place of set.layout.places) await place.stop();
  });

  Deno.test(`${engine}: whoever is killed, each durable write is stored once`, async () => {
    const seed = seedOf("FAULT_SEED");
    const random = new Random(seed);
    const chaos = await runChaos({ engine, servers: 2, workers: 2, lastsMs: 10_000, random });
    assertNothingBroken(chaos, `FAULT_SEED=${seed}`);
    assertAuditClean(chaos.audited, `FAULT_SEED=${seed}`);
    assert.ok(chaos.audited.numbers >= chaos.acknowledged);
    const { servers, workers, brokers } = chaos.killed;
    assert.ok(servers + workers + brokers > 1);
  });
}

Deno.test("a worker of another database takes nothing in, and others get it all", () =>
  withDatabase(async (other) => {
    await using set = await setUp("rabbitmq", 1, 1);
    const server = set.layout.servers[0]!.process;
    await server.accept({ user_id: "first", value: "first" }, "?ack=flushed");
    const worker = set.layout.workers[0]!;
    await worker.stop();
    // It has to know its store: a server that has never reached one cannot name it.
    await worker.start({ DATABASE_URL: other });
    for (let i = 0; i < 20; i++) await server.accept({ user_id: `u${i}`, value: `value ${i}` });
    const buried = 'dsproxy_broker_received_total{outcome="foreign"}';
    await eventually("they are put aside", async () => await worker.process.metric(buried) > 0);
    assert.match(worker.process.log, /are for the store .* compare the DB_\* settings/);
    await worker.stop();
    await worker.start();
    await set.layout.untilStored(120_000);
    assert.equal((await valuesIn(set.database.url)).length, 21);
    assert.equal((await valuesIn(other)).length, 0);
    for (const place of set.layout.places) await place.stop();
  }));

Deno.test("all of it goes through PgBouncer, with a role that may not create anything", () =>
  withDatabase(async (url) => {
    await once(url, (sql) => sql.unsafe("revoke create on schema public from public"));
    await withRole(url, async ({ user, password }) => {
      const roleUrl = Object.assign(new URL(url), { username: user, password }).href;
      const schema = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "main.ts", "--print-schema"],
        env: { DATABASE_URL: roleUrl },
      }).output();
      for (const statement of new TextDecoder().decode(schema.stdout).split(";\n")) {
        if (statement.trim() !== "") await once(url, (sql) => sql.unsafe(statement));
      }
      await using bouncer = await startPgBouncer({
        databaseUrl: roleUrl,
        poolMode: "transaction",
        poolSize: 4,
      });
      await using broker = await ENGINES.rabbitmq();
      const settings = { ...broker.settings, DATABASE_URL: bouncer.url };
      await using layout = await Layout.start({ servers: 2, workers: 2, settings });
      const load = new Load({ writers: 6 });
      load.use(...layout.servers);
      await delay(3_000);
      await load.stop();
      await layout.untilStored();
      assertNothingBroken(await load.account(url), "nothing was done to it");
      for (const place of layout.places) await place.stop();
    });
  }));

Deno.test("one data directory moves from the journal to RabbitMQ, to Kafka and back, under load", async () => {
  await using stack = new AsyncDisposableStack();
  const database = await createDatabase();
  stack.defer(() => database.drop());
  const rabbitmq = stack.use(await ENGINES.rabbitmq());
  const kafka = stack.use(await ENGINES.kafka());
  const settings = { DATABASE_URL: database.url, BATCH_INTERVAL: "100ms" };
  const layout = stack.use(
    await Layout.start({ servers: 1, workers: 0, settings: { ...settings, ...rabbitmq.settings } }),
  );
  const place = layout.servers[0]!;
  const load = new Load({ writers: 6 });
  stack.defer(() => load.stop());
  const ways = [{ QUEUE: "journal" }, rabbitmq.settings, kafka.settings, { QUEUE: "journal" }];
  for (const [round, way] of [...ways, ...ways].entries()) {
    load.use();
    if (round % 3 === 0) await place.kill();
    else await place.stop();
    await place.start({ ROLE: "all", ...way });
    load.use(place);
    await delay(1_500);
  }
  await load.stop();
  await layout.untilStored();
  assertNothingBroken(await load.account(database.url), "the way was changed again and again");
  await place.stop();
});
