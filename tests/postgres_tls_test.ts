import assert from "node:assert/strict";
import { createPostgresStore, type PostgresStoreOptions } from "../src/adapters/postgres/store.ts";
import { certificate } from "./support/certificate.ts";
import { entry } from "./support/fakes.ts";
import { startPostgres } from "./support/postgres.ts";
import { postgresOptions } from "./support/postgres_options.ts";

async function works(url: string, others: Partial<PostgresStoreOptions>): Promise<boolean> {
  const store = createPostgresStore(postgresOptions(url, others));
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
  const hba = "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 scram-sha-256\n";
  await using server = await startPostgres({ ssl: "on" }, {
    "server.crt": cert,
    "server.key": key,
    "pg_hba.conf": hba,
  });
  const hosts = [{ host: "localhost", port: server.port }];
  const cases: [string, Partial<PostgresStoreOptions>, boolean][] = [
    ["disable connects in the clear", { sslMode: "disable" }, true],
    ["prefer connects", { sslMode: "prefer" }, true],
    ["require connects whatever the certificate", { sslMode: "require" }, true],
    ["verify-full connects where certificate and name fit", { sslMode: "verify-full", sslRootCert: cert }, true],
    ["verify-full refuses a certificate that it does not know", { sslMode: "verify-full" }, false],
    ["verify-full refuses another one of the same name", { sslMode: "verify-full", sslRootCert: stranger.cert }, false],
    ["verify-full refuses another name", { sslMode: "verify-full", sslRootCert: cert, hosts }, false],
    ["verify-ca connects under another name", { sslMode: "verify-ca", sslRootCert: cert, hosts }, true],
    [
      "verify-ca refuses a certificate that it does not know",
      { sslMode: "verify-ca", sslRootCert: stranger.cert },
      false,
    ],
    ["require with a root certificate verifies it", { sslMode: "require", sslRootCert: stranger.cert }, false],
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
