/**
 * One kind of fault, tried a number of times under load on real processes: what the tests run
 * briefly and the report at length.
 */
import assert from "node:assert/strict";
import { assertAuditClean, auditOf } from "./audited.ts";
import { Dsproxy, type Environment, eventually, type HowToRun } from "../support/dsproxy.ts";
import { Random } from "../support/random.ts";
import { withDatabase } from "../support/postgres.ts";
import { delay } from "../support/services.ts";
import { type Account, Load } from "./load.ts";

export interface Scenario {
  readonly fault: string;
  /** How it is brought about. */
  readonly how: string;
  /** In a short run, and in the report. */
  readonly rounds: { readonly few: number; readonly many: number };
  run(rounds: number, random: Random): Promise<Tally>;
}

export interface Tally extends Account {
  /** How often the fault was brought about. */
  readonly tried: number;
  /** From the end of each fault until a new write was committed in the database. */
  readonly recoveriesMs: readonly number[];
}

interface Trial {
  readonly settings: Environment;
  /** Where the rows are counted, which is not where a fault is in the way. */
  readonly databaseUrl: string;
  readonly how?: HowToRun;
  /** Brings the fault about once, and ends it. The instance is started anew where it has ended. */
  inject(proxy: Dsproxy, round: number): Promise<void>;
}

/** {@link tryFault} on a database of its own of the PostgreSQL that all tests share. */
export function tryFaultOnDatabase(
  trial: Omit<Trial, "databaseUrl" | "settings"> & Partial<Pick<Trial, "settings">>,
  rounds: number,
  random: Random,
): Promise<Tally> {
  return withDatabase((databaseUrl) =>
    tryFault(
      { ...trial, databaseUrl, settings: { DATABASE_URL: databaseUrl, ...trial.settings } },
      rounds,
      random,
    )
  );
}

/** What the load had time to do before a fault comes. */
const CALM_MS = { from: 20, to: 300 };
const RECOVERY_LIMIT_MS = 60_000;

export async function tryFault(trial: Trial, rounds: number, random: Random): Promise<Tally> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-fault-" });
  const start = () =>
    Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "50ms", ...trial.settings }, trial.how);
  const load = new Load();
  const recoveriesMs: number[] = [];
  let proxy = await start();
  try {
    for (let round = 0; round < rounds; round++) {
      load.use(proxy);
      await delay(random.between(CALM_MS.from, CALM_MS.to));
      await trial.inject(proxy, round);
      const endedMs = performance.now();
      if (await hasEnded(proxy)) {
        load.use();
        proxy = await start();
      }
      load.use(proxy);
      await untilCommitted(proxy, round);
      recoveriesMs.push(performance.now() - endedMs);
    }
    await load.stop();
    await eventually(
      "the queue is empty",
      async () => await proxy.metric("dsproxy_queue_depth") === 0,
    );
    assertAuditClean(await auditOf(proxy), "dsproxy audit");
    await proxy.stop();
    return { ...await load.account(trial.databaseUrl), tried: rounds, recoveriesMs };
  } finally {
    await load.stop();
    await proxy[Symbol.asyncDispose]();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function hasEnded(proxy: Dsproxy): Promise<boolean> {
  return await Promise.race([proxy.process.status.then(() => true), delay(20).then(() => false)]);
}

async function untilCommitted(proxy: Dsproxy, round: number): Promise<void> {
  await eventually(`a write is committed after round ${round}`, async () => {
    assert.equal(await hasEnded(proxy), false, `it ended by itself: ${proxy.log.slice(-3_000)}`);
    const record = { user_id: "probe", value: `probe ${round} ${crypto.randomUUID()}` };
    const response = await proxy.write(record, "?ack=flushed").catch((cause) => {
      throw new Error(`it does not answer: ${proxy.log.slice(-3_000)}`, { cause });
    });
    await response.body?.cancel();
    return response.status === 201;
  }, RECOVERY_LIMIT_MS);
}

export function seedOf(variable: string): number {
  return Number(Deno.env.get(variable) ?? Date.now() % 1_000_000);
}
