/** Measures how much faster two workers empty a queue than one, where each flush takes long. */
import { type EngineName, ENGINES } from "../../tests/scaled/engines.ts";
import { Layout, type Place } from "../../tests/scaled/layout.ts";
import { once, withDatabase } from "../../tests/support/postgres.ts";
import { eventually } from "../../tests/support/dsproxy.ts";
import { closedLoop } from "../load/wrk.ts";
import { OWN_REQUESTS } from "../load/template.ts";
import { print } from "../print.ts";
import { ratios, spread } from "../statistics.ts";

const SLOW_FLUSHES = `
  create function sleep_a_little() returns trigger language plpgsql as
    $$ begin perform pg_sleep(0.05); return null; end $$;
  create trigger sleep_a_little before insert on user_data
    for each statement execute function sleep_a_little()`;
/** There is so much that what a worker needs to begin is little beside it. */
const LOAD = { connections: 64, seconds: 6, users: 10_000 };
const STARTED_FIRST = 2;

/** @returns the engine, rows a second with one and with two workers, and their ratio */
export async function measureWorkers(
  engine: EngineName,
  rounds: number,
): Promise<readonly (string | number)[]> {
  const [one, two]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    one.push(await drain(engine, 1));
    two.push(await drain(engine, 2));
    print(`workers: ${engine} ${one.at(-1)!.toFixed(0)}, ${two.at(-1)!.toFixed(0)}`);
  }
  return [engine, spread(one), spread(two), spread(ratios(two, one))];
}

/** Returns rows a second of so many workers, from their start to the last row. */
function drain(engine: EngineName, workers: number): Promise<number> {
  return withDatabase(async (databaseUrl) => {
    await using broker = await ENGINES[engine]();
    const settings = { ...broker.settings, DATABASE_URL: databaseUrl, BATCH_MAX: "200" };
    await using layout = await Layout.start({ servers: STARTED_FIRST, workers, settings });
    // The tables are there once something was stored.
    await layout.servers[0]!.process.accept({ user_id: "first", value: "first" }, "?ack=flushed");
    await Promise.all(layout.workers.map((place) => place.stop()));
    await once(databaseUrl, (sql) => sql.unsafe(SLOW_FLUSHES));
    const load = { ...LOAD, connections: LOAD.connections / STARTED_FIRST };
    await Promise.all(
      layout.servers.map(({ url }) => closedLoop(url, OWN_REQUESTS.write, load)),
    );
    await untilForwarded(layout.servers);
    const depth = await depthOf(layout.servers);
    await Promise.all(layout.workers.map((place) => place.start()));
    const startedMs = performance.now();
    await layout.untilStored(600_000);
    return depth / ((performance.now() - startedMs) / 1_000);
  });
}

/** What an API server forwards goes in order: all that came before this one is there, too. */
async function untilForwarded(servers: readonly Place[]): Promise<void> {
  for (const { process } of servers) {
    await eventually("the broker has everything", async () => {
      const answer = await process.write({ user_id: "last", value: "last" }, "?ack=replicated");
      await answer.body?.cancel();
      return answer.headers.get("dsproxy-ack") === "replicated";
    }, 120_000);
  }
}

async function depthOf(servers: readonly Place[]): Promise<number> {
  const depths = await Promise.all(
    servers.map(({ process }) => process.metric("dsproxy_queue_depth")),
  );
  return depths.reduce((sum, depth) => sum + depth, 0);
}
