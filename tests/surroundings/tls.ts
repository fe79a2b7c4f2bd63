/** TLS to PostgreSQL, with a certificate of the operator's own. */
import { certificate } from "../support/certificate.ts";
import { startPostgres } from "../support/postgres.ts";
import { live, READS_FROM_STORE, type Surrounding } from "./surrounding.ts";
import { delay } from "../support/services.ts";

/** Those who count the rows come without. */
const HBA =
  "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 scram-sha-256\n";

const verified: Surrounding["run"] = async (rounds, random) => {
  const { cert, key } = await certificate("127.0.0.1");
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-tls-" });
  try {
    await Deno.writeTextFile(`${folder}/root.crt`, cert);
    await using server = await startPostgres({ ssl: "on" }, {
      "server.crt": cert,
      "server.key": key,
      "pg_hba.conf": HBA,
    });
    const settings = {
      DATABASE_URL: `${server.url}?sslmode=verify-full&sslrootcert=${folder}/root.crt`,
      ...READS_FROM_STORE,
    };
    return await live(
      { databaseUrl: server.url, settings, happen: () => delay(500) },
      rounds,
      random,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
};

export const TLS: readonly Surrounding[] = [
  {
    name: "PostgreSQL with TLS",
    how: "`sslmode=verify-full`, `sslrootcert` the certificate of one's own",
    rounds: { few: 1, many: 10 },
    run: verified,
  },
];
