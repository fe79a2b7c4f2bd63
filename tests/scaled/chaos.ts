/**
 * Clients write and read at API servers while any of the processes, and the broker, are killed at
 * random: what they were promised is held against the database in the end.
 */
import { type Audited, auditOf } from "../fault/audited.ts";
import { type Account, Load } from "../fault/load.ts";
import { withDatabase } from "../support/postgres.ts";
import type { Random } from "../support/random.ts";
import { startRedis } from "../support/redis.ts";
import { delay } from "../support/services.ts";
import { type EngineName, ENGINES } from "./engines.ts";
import { Layout, type Place } from "./layout.ts";

interface ChaosOptions {
  readonly engine: EngineName;
  readonly servers: number;
  readonly workers: number;
  readonly lastsMs: number;
  readonly random: Random;
}

export interface Chaos extends Account {
  /** `dsproxy audit` says so of the same database. */
  readonly audited: Audited;
  readonly killed: Readonly<Record<"servers" | "workers" | "brokers", number>>;
}

/** Between the end of one fault and the next. */
const CALM_MS = { from: 100, to: 2_000 };
/** How long whoever was killed stays away. */
const AWAY_MS = { from: 0, to: 2_000 };

export function runChaos(options: ChaosOptions): Promise<Chaos> {
  return withDatabase(async (databaseUrl) => {
    const { engine, servers, workers, lastsMs, random } = options;
    await using redis = await startRedis();
    await using broker = await ENGINES[engine]();
    const settings = { ...broker.settings, DATABASE_URL: databaseUrl, REDIS_URL: redis.url };
    await using layout = await Layout.start({ servers, workers, settings });
    const load = new Load({ writers: 4 * servers });
    const killed = { servers: 0, workers: 0, brokers: 0 };
    const strike = async () => {
      const fate = random.below(servers + workers + 1);
      if (fate === servers + workers) {
        killed.brokers++;
        await broker.kill();
        await delay(random.between(AWAY_MS.from, AWAY_MS.to));
        return await broker.start();
      }
      killed[fate < servers ? "servers" : "workers"]++;
      await restart(layout.places[fate]!, random.between(AWAY_MS.from, AWAY_MS.to));
    };
    try {
      load.use(...layout.servers);
      await delay(broker.keptAfterMs);
      const untilMs = performance.now() + lastsMs;
      while (performance.now() < untilMs) {
        await delay(random.between(CALM_MS.from, CALM_MS.to));
        await strike();
      }
    } finally {
      await load.stop();
    }
    await layout.untilStored(180_000);
    const audited = await auditOf(layout.servers[0]!.process);
    for (const place of layout.places) await place.stop();
    return { ...await load.account(databaseUrl), audited, killed };
  });
}

async function restart(place: Place, awayMs: number): Promise<void> {
  await place.kill();
  await delay(awayMs);
  await place.start();
}
