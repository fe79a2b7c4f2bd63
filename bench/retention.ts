/**
 * `deno task bench:retention`: what retention costs who writes. A database full of old rows,
 * clients in a closed loop, and the duty in a process beside the service: rounds with it and without
 * it in turn. The last lines are the ratios with / without, median (min..max) of the rounds.
 */
import { fileURLToPath } from "node:url";
import { createPostgresStore } from "../src/adapters/postgres/store.ts";
import { RetentionDuty } from "../src/cluster/retention.ts";
import { systemClock } from "../src/ports/clock.ts";
import { Log } from "../src/telemetry/log.ts";

import { once, startPostgres } from "../tests/support/postgres.ts";
import { postgresOptions } from "../tests/support/postgres_options.ts";
import { delay } from "../tests/support/services.ts";
import { closedLoop, type LoadFigures } from "./load/wrk.ts";
import { print } from "./print.ts";
import { serviceWith } from "./sides/service.ts";
import { ratios, spread } from "./statistics.ts";

const ROUNDS = 6;
const LOAD = { connections: 64, seconds: 5, users: 100_000 };
const DAY_MS = 86_400_000;
/** Half of them belong to a few users, half to many. */
const FILL = `insert into user_data (user_id, value, ts, dsproxy_instance, dsproxy_seq)
  select case when i % 2 = 0 then 'many' || i % 20 else 'few' || i % 200000 end,
    repeat('v', 100), i / 1000, 'run00000000a', i
  from generate_series(1, 2000000) as i`;
const CHECKOUT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/** Runs the duty as a leader would, until it is stopped; resolves to the rows it deleted. */
function lead(url: string): () => Promise<number> {
  const ports = createPostgresStore(postgresOptions(url));
  let rows = 0;
  const duty = new RetentionDuty({
    retention: ports.retention,
    retentionMs: DAY_MS,
    clock: systemClock,
    metrics: { retiredRows: { inc: (n = 0) => rows += Number(n) } as never },
    log: new Log("warn", "pretty"),
  });
  const aborter = new AbortController();
  const working = (async () => {
    const term = await ports.terms.begin(crypto.randomUUID().slice(0, 12));
    while (!aborter.signal.aborted) {
      await duty.run(term, aborter.signal);
      await delay(duty.intervalMs);
    }
    await ports.store.close();
  })();
  return async () => {
    aborter.abort();
    await working;
    return rows;
  };
}

async function main(url: string, dataDir: string): Promise<void> {
  await using service = await serviceWith("PostgreSQL", CHECKOUT, {
    DATA_DIR: dataDir,
    DATABASE_URL: url,
  });
  const { write } = service.requests;
  await closedLoop(service.url, write, LOAD); // To warm up, and to have the tables.
  await once(url, (sql) => sql.unsafe(`${FILL}; analyze user_data`));
  const figures: Record<"with" | "without", LoadFigures[]> = { with: [], without: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? ["with", "without"] as const : ["without", "with"] as const;
    for (const how of order) {
      await service.settled();
      const stop = how === "with" ? lead(url) : () => Promise.resolve(0);
      const measured = await closedLoop(service.url, write, LOAD);
      const deleted = await stop();
      figures[how].push(measured);
      print(
        `${how.padEnd(7)} ${Math.round(measured.perSecond)} writes/s, p99 ${
          measured.p99Ms.toFixed(1)
        } ms, ${Math.round(deleted / LOAD.seconds)} rows deleted/s`,
      );
    }
  }
  for (const [name, of] of [["writes/s", "perSecond"], ["p99", "p99Ms"]] as const) {
    const ratio = ratios(
      figures.with.map((f) => f[of]),
      figures.without.map((f) => f[of]),
    );
    print(`${name} with / without retention: ${spread(ratio, 2)}`);
  }
}

const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-retention-" });
const postgres = await startPostgres();
try {
  await main(postgres.url, dataDir);
} finally {
  await postgres.dispose();
  await Deno.remove(dataDir, { recursive: true });
}
