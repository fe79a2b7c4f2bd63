/**
 * One way in which the service is really run, under load and with every body checked: briefly by
 * the tests, at length for the table.
 */
import assert from "node:assert/strict";
import { type Account, BROKEN, Load, type LoadOptions } from "../fault/load.ts";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { once } from "../support/postgres.ts";
import { Random } from "../support/random.ts";
import { delay } from "../support/services.ts";
import { Crossing } from "./crossing.ts";

export interface Surrounding {
  readonly name: string;
  /** How it is made. */
  readonly how: string;
  /** In a short run, and for the table. */
  readonly rounds: { readonly few: number; readonly many: number };
  /** Why there may be 503s here; none may be where this says nothing. */
  readonly mayRefuse?: string;
  run(rounds: number, random: Random): Promise<Counts>;
}

export interface Counts extends Account {
  /**
   * Answers of another instance that were old more than 1 s after the write had been flushed,
   * without saying so.
   */
  readonly stale: readonly string[];
  readonly dead: number;
  readonly note: string;
}

export interface Place {
  readonly databaseUrl: string;
  /** The service's settings; given the instance's number. */
  readonly settings: Environment | ((instance: number) => Environment);
  readonly instances?: number;
  readonly load?: Partial<LoadOptions>;
  /**
   * The second instance serves nobody but who reads there what was written through the first one.
   */
  readonly secondOnlyReads?: boolean;
  /** What clients talk to; default: the instances themselves. */
  readonly targets?: (scene: Scene) => readonly { readonly url: string }[];
  /** How soon something written after it is in the database; default: a minute. */
  readonly commitLimitMs?: number;
  /** Before any instance is started. */
  readonly prepare?: () => Promise<void>;
  /** Done once a round, under load. */
  happen(scene: Scene, round: number): Promise<void>;
}

/** What is there while things happen. */
export interface Scene {
  /** Where the rows are counted at the end. */
  databaseUrl: string;
  readonly random: Random;
  readonly proxies: Dsproxy[];
  readonly load: Load;
  /** Ends an instance in order and starts it again, with the same data and settings. */
  restart(instance: number): Promise<void>;
  /** Rows that the database is meant to refuse for good. */
  deadMeant: number;
  /** For the table. */
  note: string;
}

/** Reads are answered by the store, as far as that can be asked for. */
export const READS_FROM_STORE: Environment = { CACHE_LOCAL_MAX: "0", BATCH_INTERVAL: "50ms" };

const CALM_MS = { from: 50, to: 300 };
const START_LIMIT_MS = 10_000;
const COMMIT_LIMIT_MS = 60_000;
/** For answers that are old for more than a second to show. */
const CROSSING_MS = 2_500;

export async function live(place: Place, rounds: number, random: Random): Promise<Counts> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-around-" });
  const proxies: Dsproxy[] = [];
  const load = new Load({ readers: 8, ...place.load });
  const restart = async (instance: number) => {
    await proxies[instance]!.stop();
    proxies[instance] = await start(place, folder, instance);
  };
  const { databaseUrl } = place;
  const scene: Scene = { databaseUrl, random, proxies, load, restart, deadMeant: 0, note: "" };
  const crossings: Crossing[] = [];
  try {
    await place.prepare?.();
    for (let i = 0; i < (place.instances ?? 1); i++) proxies.push(await start(place, folder, i));
    for (const proxy of proxies) await untilCommitted(proxy, START_LIMIT_MS);
    load.use(...place.targets?.(scene) ?? (place.secondOnlyReads ? proxies.slice(0, 1) : proxies));
    if (proxies.length > 1) crossings.push(new Crossing(scene, 0, 1));
    if (proxies.length > 1 && !place.secondOnlyReads) crossings.push(new Crossing(scene, 1, 0));
    for (let round = 0; round < rounds; round++) {
      await delay(random.between(CALM_MS.from, CALM_MS.to));
      await place.happen(scene, round);
      for (const proxy of proxies) {
        await untilCommitted(proxy, place.commitLimitMs ?? COMMIT_LIMIT_MS);
      }
      if (crossings.length > 0) await delay(CROSSING_MS);
    }
    await Promise.all([load, ...crossings].map((client) => client.stop()));
    for (const proxy of proxies) await untilEmpty(proxy);
    const stale = crossings.flatMap((crossing) => crossing.stale);
    const dead = await deadLetters(scene);
    for (const proxy of proxies) await proxy.stop();
    return { ...await load.account(scene.databaseUrl), stale, dead, note: scene.note };
  } finally {
    await Promise.all([load, ...crossings].map((client) => client.stop()));
    for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
}

function start({ settings }: Place, folder: string, instance: number): Promise<Dsproxy> {
  const own = typeof settings === "function" ? settings(instance) : settings;
  return Dsproxy.start({ DATA_DIR: `${folder}/${instance}`, BATCH_INTERVAL: "50ms", ...own });
}

/** Something written now is in the database, within the limit. */
export function untilCommitted(proxy: Dsproxy, limitMs: number): Promise<void> {
  return eventually("a write is committed", async () => {
    const name = `probe ${crypto.randomUUID()}`;
    const response = await proxy.write({ user_id: name, value: name }, "?ack=flushed");
    await response.body?.cancel();
    return response.status === 201;
  }, limitMs).catch((cause) => {
    throw new Error(`${cause.message}; the instance says: ${proxy.log.slice(-3_000)}`, { cause });
  });
}

export async function untilEmpty(proxy: Dsproxy): Promise<void> {
  await eventually(
    "the queue is empty",
    async () => await proxy.metric("dsproxy_queue_depth") === 0,
  ).catch((cause) => {
    throw new Error(`${cause.message}; the instance says: ${proxy.log.slice(-3_000)}`, { cause });
  });
}

/** It says that it is not ready, and why: what a person has to change, in words that match. */
export async function untilNotReady(proxy: Dsproxy, why: RegExp, limitMs = 20_000): Promise<void> {
  let said = "";
  await eventually(`it is not ready, for ${why}`, async () => {
    said = await (await fetch(`${proxy.url}/readyz?verbose`)).text();
    return said.includes("not ok") && why.test(said);
  }, limitMs).catch((cause) => {
    throw new Error(`${cause.message}; it says: ${said}; its log: ${proxy.log.slice(-2_000)}`, {
      cause,
    });
  });
}

export function untilReady(proxy: Dsproxy): Promise<void> {
  return eventually(
    "it is ready again",
    async () => await proxy.status("/readyz") === 200,
    COMMIT_LIMIT_MS,
  );
}

/** @throws AssertionError when others than those meant are dead */
async function deadLetters({ databaseUrl, deadMeant }: Scene): Promise<number> {
  const dead = await once(
    databaseUrl,
    (sql) =>
      sql<{ user_id: string; code: string }[]>`select user_id, code from dsproxy_dead_letters`,
  );
  const some = dead.slice(0, 5).map(({ user_id, code }) => `${user_id} ${code}`).join(", ");
  assert.equal(dead.length, deadMeant, `dead letters, among them: ${some}`);
  return dead.length;
}

/** What must not be and was, in words; empty when all is well. */
export function brokenIn({ mayRefuse }: Surrounding, counts: Counts): string[] {
  const lists = [...BROKEN, "stale" as const].flatMap((kind) =>
    counts[kind].length === 0
      ? []
      : [`${counts[kind].length} ${kind}: ${counts[kind].slice(0, 5).join("; ")}`]
  );
  const refused = counts.refused > 0 && mayRefuse === undefined
    ? [`${counts.refused} answers 503`]
    : [];
  const idle = counts.acknowledged > 10
    ? []
    : [`only ${counts.acknowledged} writes were acknowledged`];
  return [...lists, ...refused, ...idle];
}
