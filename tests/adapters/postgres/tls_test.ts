import assert from "node:assert/strict";
import { createPool } from "../../../src/adapters/postgres/pool.ts";
import type { DatabaseOptions } from "../../../src/adapters/postgres/database.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { certificate } from "../../support/certificate.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { once, startPostgres } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";

async function works(url: string, others: Partial<DatabaseOptions>): Promise<boolean> {
  const { store } = createPostgresStore(postgresOptions(url, others));
  try {
    await store.open("tls/1");
    await store.put("tls/1", [entry(1)], 0);
    return (await store.latest("user1"))?.value === "value1";
  } catch {
    return false;
  } finally {
    await store.close();
  }
}

Deno.test("sslmode means what it means in libpq", async (t) => {
  const { cert, key } = await certificate("127.0.0.1");
  const stranger = await certificate("127.0.0.1");
  const hba =
    "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 scram-sha-256\n";
  await using server = await startPostgres({ ssl: "on" }, {
    "server.crt": cert,
    "server.key": key,
    "pg_hba.conf": hba,
  });
  const hosts = [{ host: "localhost", port: server.port }];
  const cases: [string, Partial<DatabaseOptions>, boolean][] = [
    ["disable connects in the clear", { sslMode: "disable" }, true],
    ["prefer connects", { sslMode: "prefer" }, true],
    ["require connects whatever the certificate", { sslMode: "require" }, true],
    ["verify-full connects where certificate and name fit", {
      sslMode: "verify-full",
      sslRootCert: cert,
    }, true],
    ["verify-full refuses a certificate that it does not know", { sslMode: "verify-full" }, false],
    ["verify-full refuses another one of the same name", {
      sslMode: "verify-full",
      sslRootCert: stranger.cert,
    }, false],
    [
      "verify-full refuses another name",
      { sslMode: "verify-full", sslRootCert: cert, hosts },
      false,
    ],
    [
      "verify-ca connects under another name",
      { sslMode: "verify-ca", sslRootCert: cert, hosts },
      true,
    ],
    [
      "verify-ca refuses a certificate that it does not know",
      { sslMode: "verify-ca", sslRootCert: stranger.cert },
      false,
    ],
    ["require with a root certificate verifies it", {
      sslMode: "require",
      sslRootCert: stranger.cert,
    }, false],
  ];
  for (const [name, others, expected] of cases) {
    await t.step(name, async () => assert.equal(await works(server.url, others), expected));
  }
});

Deno.test("require refuses a server without TLS, prefer accepts it", async () => {
  await using server = await startPostgres();
  assert.equal(await works(server.url, { sslMode: "require" }), false);
  assert.equal(await works(server.url, { sslMode: "prefer" }), true);
});

Deno.test("under TLS, too, a statement is ended on the server, and its end noticed", async () => {
  const { cert, key } = await certificate("127.0.0.1");
  await using server = await startPostgres({ ssl: "on" }, {
    "server.crt": cert,
    "server.key": key,
  });
  const pool = createPool(postgresOptions(server.url, { sslMode: "require" }));
  const asleep = async () =>
    (await pool.run(5_000, (session) =>
      session.query(
        `select pid from pg_stat_activity join pg_stat_ssl using (pid) where ssl and query like
          '%pg_sleep%'
        and state = 'active' and pid <> pg_backend_pid()`,
      ))).rowCount;
  const sleep = (limitMs: number) =>
    pool.run(limitMs, (session) => session.query("select pg_sleep(3600)"));
  try {
    await assert.rejects(sleep(500), { name: "DeadlineError" });
    await eventually("it is ended", async () => await asleep() === 0, 3_000);
    const ended = assert.rejects(sleep(30_000), { name: "ConnectionLostError" });
    await eventually("it runs", async () => await asleep() === 1);
    await server.kill();
    const killedMs = performance.now();
    await ended;
    assert.ok(performance.now() - killedMs < 2_500);
    await assert.rejects(asleep(), {
      name: "ConnectError",
      message:
        /^Cannot connect to PostgreSQL at 127\.0\.0\.1:\d+: 127\.0\.0\.1:\d+: .*ECONNREFUSED/,
    });
  } finally {
    await pool.close();
  }
});

Deno.test("prefer and allow go on to the other way where access rules ask for it", async () => {
  const { cert, key } = await certificate("127.0.0.1");
  await using server = await startPostgres({ ssl: "on" }, {
    "server.crt": cert,
    "server.key": key,
  });
  await once(server.url, (sql) => sql.unsafe("create role other login superuser password 'right'"));
  const rules = `${server.options.folder}/data/pg_hba.conf`;
  const general = await Deno.readTextFile(rules);
  for (const kind of ["hostssl", "hostnossl"]) {
    await Deno.writeTextFile(
      rules,
      `${kind} all other all scram-sha-256\nhost all other all reject\n${general}`,
    );
    await once(server.url, (sql) => sql`select pg_reload_conf(), pg_sleep(0.2)`);
    for (const sslMode of ["prefer", "allow"] as const) {
      const pool = createPool(
        postgresOptions(server.url, { sslMode, user: "other", password: () => "right" }),
      );
      try {
        const { rows } = await pool.run(
          5_000,
          (session) => session.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()"),
        );
        assert.deepEqual(rows, [{ ssl: kind === "hostssl" }], `${kind} ${sslMode}`);
      } finally {
        await pool.close();
      }
    }
    const wrong = createPool(
      postgresOptions(server.url, { user: "other", password: () => "wrong" }),
    );
    await assert.rejects(wrong.run(5_000, (session) => session.query("select 1")), {
      code: "28P01",
    });
    await wrong.close();
  }
});
