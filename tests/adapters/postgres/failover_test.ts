/** Which server of several is used, and how soon the right one is found when that changes. */
import assert from "node:assert/strict";
import { connect } from "../../../src/adapters/postgres/connect.ts";
import type { TargetSessionAttrs } from "../../../src/libpq.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import type { Store } from "../../../src/ports/store.ts";
import { CheckedLoad, type Counts } from "../../support/checked_load.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { once, startPostgres, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { delay } from "../../support/services.ts";
import { caughtUp, promote, startStandby } from "../../support/standby.ts";

const SOURCE = "failover/1";
const RECOVERY_LIMIT_MS = 6_000;

/** How long it takes until the store can be written to. */
async function untilWritable(
  store: Store,
  entries: ReturnType<typeof entry>[],
) {
  const startedMs = performance.now();
  await eventually(
    "a put succeeds",
    () => store.put(SOURCE, entries, 0).then(() => true, () => false),
  );
  return performance.now() - startedMs;
}

function seen({ errors, ...counts }: Counts): string {
  return `${JSON.stringify(counts)} ${[...errors].join("; ")}`;
}

Deno.test("target_session_attrs picks the server that it names, as in libpq", async (t) => {
  await using primary = await startPostgres();
  await using standby = await startStandby(primary);
  await using readOnly = await startPostgres({ default_transaction_read_only: "on" });
  const names = new Map([[primary.port, "primary"], [standby.port, "standby"], [
    readOnly.port,
    "read-only",
  ]]);
  const cases: [TargetSessionAttrs | undefined, typeof primary[], string][] = [
    ["any", [standby, primary], "standby"],
    ["read-write", [standby, readOnly, primary], "primary"],
    ["read-write", [standby, readOnly], "none"],
    ["read-only", [primary, readOnly, standby], "read-only"],
    ["read-only", [primary], "none"],
    ["primary", [standby, readOnly, primary], "read-only"],
    ["standby", [primary, readOnly, standby], "standby"],
    ["standby", [primary], "none"],
    ["prefer-standby", [primary, standby], "standby"],
    ["prefer-standby", [primary, readOnly], "primary"],
    [undefined, [standby, readOnly, primary], "primary"],
    [undefined, [standby, readOnly], "read-only"],
    [undefined, [standby], "none"],
  ];
  for (const [attrs, servers, expected] of cases) {
    const order = servers.map(({ port }) => names.get(port)).join(", ");
    await t.step(`${attrs ?? "the default"} of ${order}: ${expected}`, async () => {
      const hosts = servers.map(({ port }) => ({ host: "127.0.0.1", port }));
      // The passwords of all test servers are the same.
      const options = postgresOptions(primary.url, {
        hosts,
        ...(attrs && { targetSessionAttrs: attrs }),
      });
      const connecting = connect(options, AbortSignal.timeout(20_000));
      if (expected === "none") {
        return await assert.rejects(connecting, {
          name: "ConnectError",
          message: /target_session_attrs.*is (a|read)/,
        });
      }
      const { connection } = await connecting;
      const { rows: [row] } = await connection.query<{ port: number }>(
        "select inet_server_port() as port",
      );
      await connection.close();
      assert.equal(names.get(row!.port), expected);
    });
  }
});

Deno.test("hosts that are down are passed over, and all are named when none answers", async () => {
  await using server = await startPostgres();
  const down = { host: "127.0.0.1", port: 1 };
  const up = { host: "localhost", port: server.port };
  const { connection } = await connect(
    postgresOptions(server.url, { hosts: [down, up] }),
    AbortSignal.timeout(20_000),
  );
  await connection.close();
  const none = connect(
    postgresOptions(server.url, { hosts: [down, { ...down, host: "nowhere.invalid" }] }),
    AbortSignal.timeout(20_000),
  );
  await assert.rejects(
    none,
    /at 127\.0\.0\.1:1,nowhere\.invalid:1: 127\.0\.0\.1:1: .*REFUSED.*; nowhere\.invalid:1: /,
  );
});

Deno.test("a host that swallows all costs its time once, and the next one is used", async () => {
  await using server = await startPostgres();
  await using proxy = FaultProxy.to(server.port);
  proxy.weather = "black hole";
  const hosts = [{ host: "127.0.0.1", port: proxy.port }, { host: "127.0.0.1", port: server.port }];
  const { store } = createPostgresStore(
    postgresOptions(server.url, { hosts, connectTimeoutMs: 500 }),
  );
  try {
    const startedMs = performance.now();
    assert.equal(await store.open(SOURCE), 0);
    assert.ok(performance.now() - startedMs < 3_000);
  } finally {
    await store.close();
    proxy.weather = "pass";
  }
});

Deno.test("an address that moves to the primary is followed within seconds", async () => {
  await using primary = await startPostgres();
  const { store: direct } = createPostgresStore(postgresOptions(primary.url));
  await direct.open(SOURCE);
  await direct.close();
  await using standby = await startStandby(primary);
  await using address = FaultProxy.to(standby.port);
  const url = address.urlOf(primary.url);
  // The second one takes what it gets, so that it has sessions that cannot write.
  for (const more of [{}, { targetSessionAttrs: "any" as const }]) {
    address.targetPort = standby.port;
    const { store } = createPostgresStore(postgresOptions(url, more));
    try {
      await assert.rejects(store.put(SOURCE, [entry(1)], 0));
      await delay(1_000);
      address.targetPort = primary.port;
      assert.ok(await untilWritable(store, [entry(1)]) < RECOVERY_LIMIT_MS);
      assert.equal((await store.latest("user1"))?.value, "value1");
    } finally {
      await store.close();
    }
  }
});

Deno.test("a read-only database goes on being read, and is written to again within seconds", () =>
  withDatabase(async (url) => {
    const set = (value: string) =>
      once(url, (sql) =>
        sql.unsafe(
          `do $$ begin execute
            format('alter database %I set default_transaction_read_only = ${value}',
              current_database());
          end $$; select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()`,
        ));
    const { store } = createPostgresStore(postgresOptions(url));
    try {
      await store.open(SOURCE);
      await store.put(SOURCE, [entry(1)], 0);
      await set("on");
      for (let i = 0; i < 5; i++) {
        await assert.rejects(store.put(SOURCE, [entry(2)], 0));
        assert.equal((await store.latest("user1"))?.value, "value1");
      }
      // Sessions that began meanwhile stay read-only, however the database is set.
      await once(url, async (sql) => {
        await sql.unsafe("set default_transaction_read_only = off");
        await sql.unsafe(
          "do $$ begin execute format('alter database %I reset default_transaction_read_only', " +
            "current_database()); end $$",
        );
      });
      assert.ok(await untilWritable(store, [entry(2)]) < RECOVERY_LIMIT_MS);
    } finally {
      await store.close();
    }
  }));

for (const how of ["by its address", "by the list of hosts"]) {
  Deno.test(`a promoted standby takes over, found ${how}, with every answer right`, async () => {
    await using primary = await startPostgres();
    await using address = FaultProxy.to(primary.port);
    const { store: first } = createPostgresStore(postgresOptions(primary.url));
    const filled = new CheckedLoad(first, SOURCE);
    await filled.fill();
    await first.close();
    await using standby = await startStandby(primary);
    const hosts = how === "by its address"
      ? [{ host: "127.0.0.1", port: address.port }]
      : [{ host: "127.0.0.1", port: primary.port }, { host: "127.0.0.1", port: standby.port }];
    const { store } = createPostgresStore(postgresOptions(primary.url, { hosts, poolSize: 8 }));
    const load = new CheckedLoad(store, "failover/2");
    try {
      await load.fill();
      let recoveredMs = Infinity;
      const counts = await load.during(async () => {
        await delay(500);
        // What an asynchronous standby has not received is lost with its primary, whoever asks:
        // here it has it all.
        load.onlyRead = true;
        await delay(100);
        await caughtUp(primary, standby);
        await primary.kill();
        await promote(standby);
        const promotedMs = performance.now();
        address.targetPort = standby.port;
        address.cut();
        load.onlyRead = false;
        const before = load.counts.puts;
        await eventually("it is written to", () => Promise.resolve(load.counts.puts > before));
        recoveredMs = performance.now() - promotedMs;
        await delay(500);
      });
      const { wrong, absent } = counts;
      assert.deepEqual({ wrong, absent }, { wrong: 0, absent: 0 }, seen(counts));
      assert.ok(recoveredMs < RECOVERY_LIMIT_MS, `${recoveredMs} ms; ${seen(counts)}`);
      assert.ok(counts.reads - counts.failed > 500, seen(counts));
    } finally {
      await store.close();
    }
  });
}
