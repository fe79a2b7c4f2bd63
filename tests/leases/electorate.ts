/** Three instances that may lead, each with a way of its own to Redis and to PostgreSQL. */
import assert from "node:assert/strict";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { postgresOptions } from "../support/postgres_options.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import type { InstanceSettings, Keeper, Told, Verdict } from "./trial.ts";

/** Short, so that a trial takes seconds. */
export const LIFE_MS = 1_500;
const INSTANCES = 3;
/** Nobody may be without a leader for longer; a machine that does other things, too, is slow. */
const LEADS_WITHIN_MS = 30_000;

interface Row {
  readonly n: number;
  readonly term: number;
  readonly leader: string;
  readonly at_ms: number;
}

/** One that may lead: it can be stopped, killed, cut off, and started again. */
export class Instance implements AsyncDisposable {
  readonly toRedis: FaultProxy | undefined;
  readonly toPostgres: FaultProxy;
  #process: Dsproxy | undefined;
  #earlier = "";
  #starts = 0;

  constructor(
    readonly number: number,
    private readonly settings: Omit<InstanceSettings, "name">,
  ) {
    const { databaseUrl, redisUrl } = settings;
    this.toPostgres = FaultProxy.to(Number(new URL(databaseUrl).port));
    if (redisUrl !== undefined) this.toRedis = FaultProxy.to(Number(new URL(redisUrl).port));
  }

  /** Each start has a name of its own, as each run has. */
  get name(): string {
    return `${this.number}/${this.#starts}`;
  }

  start(): void {
    this.#starts++;
    const { databaseUrl, redisUrl } = this.settings;
    const settings: InstanceSettings = {
      ...this.settings,
      name: this.name,
      databaseUrl: this.toPostgres.urlOf(databaseUrl),
      ...(redisUrl !== undefined && { redisUrl: this.toRedis!.urlOf(redisUrl) }),
    };
    this.#process = Dsproxy.spawn({}, [JSON.stringify(settings)], {
      main: "tests/leases/leader_main.ts",
    });
  }

  signal(signal: Deno.Signal): void {
    this.#process!.process.kill(signal);
  }

  /** Ends it at once or in order. */
  async end(how: "SIGKILL" | "SIGTERM"): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    if (how === "SIGKILL") await process.kill();
    else {
      // It hears no signal before it has begun, and has told so.
      await eventually("it has begun", () => Promise.resolve(process.log !== ""));
      await process.stop();
    }
    this.#earlier += (await process.ended()).stdout;
  }

  /** How often the term refused it a commit; it has to have ended. */
  get refused(): number {
    const lines = this.#earlier.split("\n").filter((line) => line !== "");
    return lines.filter((line) => (JSON.parse(line) as Told).kind === "refused").length;
  }

  get log(): string {
    return this.#process?.log ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
    await this.toRedis?.[Symbol.asyncDispose]();
    await this.toPostgres[Symbol.asyncDispose]();
  }
}

export class Electorate implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly keeper: Keeper,
    readonly databaseUrl: string,
    readonly redis: RedisServer | undefined,
    readonly instances: readonly Instance[],
    stack: AsyncDisposableStack,
  ) {
    this.#stack = stack;
  }

  static async start(
    keeper: Keeper,
    mistakes: Pick<InstanceSettings, "acceptsStaleTerms"> = {},
  ): Promise<Electorate> {
    await using stack = new AsyncDisposableStack();
    const { url } = stack.adopt(await createDatabase(), (it) => it.drop());
    await prepare(url);
    const redis = keeper === "Redis" ? stack.use(await startRedis()) : undefined;
    const settings = {
      databaseUrl: url,
      ...(redis && { redisUrl: redis.url }),
      lifeMs: LIFE_MS,
      ...mistakes,
    };
    const instances = Array.from(
      { length: INSTANCES },
      (_, i) => stack.use(new Instance(i + 1, settings)),
    );
    for (const instance of instances) instance.start();
    const electorate = new Electorate(keeper, url, redis, instances, stack.move());
    await electorate.untilSomebodyLeads();
    return electorate;
  }

  /** Resolves to who leads, once it has committed something after this call. */
  async untilSomebodyLeads(other?: Instance): Promise<Instance> {
    const before = await this.#last();
    let leader: Instance | undefined;
    await eventually("somebody leads", async () => {
      const { n, leader: name } = await this.#last();
      leader = this.instances.find((instance) => instance.name === name);
      return n > before.n && leader !== undefined && leader !== other;
    }, LEADS_WITHIN_MS).catch((error) => {
      throw new Error(`${error.message}\n${this.instances.map(({ log }) => log).join("\n")}`);
    });
    return leader!;
  }

  async execute(text: string): Promise<void> {
    await once(this.databaseUrl, (sql) => sql.unsafe(text));
  }

  /** Ends all instances, and judges what they have committed. */
  async judge(times: number, excusedMs: number): Promise<Verdict> {
    for (const instance of this.instances) await instance.end("SIGTERM");
    const rows = await once(
      this.databaseUrl,
      (sql) =>
        sql<Row[]>`select n::float8 as n, term::float8 as term, leader,
          extract(epoch from at)::float8 * 1000 as at_ms from trial order by n`,
    );
    assert.ok(rows.length > 0, "nothing was committed");
    const gaps = rows.slice(1).map(({ at_ms }, i) => at_ms - rows[i]!.at_ms);
    return {
      times,
      terms: new Set(rows.map(({ term }) => term)).size,
      commits: rows.length,
      refused: this.instances.reduce((sum, { refused }) => sum + refused, 0),
      tooLate: tooLateOf(rows),
      longestMs: Math.max(0, ...gaps) - excusedMs,
    };
  }

  async #last(): Promise<{ n: number; leader: string }> {
    const [row] = await once(
      this.databaseUrl,
      (sql) =>
        sql<{ n: number; leader: string }[]>`select n::float8 as n, leader from trial
          order by n desc limit 1`,
    );
    return row ?? { n: 0, leader: "" };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/**
 * For whoever connects from now on, the server's clock is behind by what the table says. The column
 * above keeps the real one.
 */
const SETTABLE_CLOCK = `
  create table trial_clock (behind interval not null);
  insert into trial_clock values ('0');
  create function public.clock_timestamp() returns timestamptz language sql volatile as
    'select pg_catalog.clock_timestamp() - behind from public.trial_clock';
  do $do$ begin
    execute format('alter database %I set search_path = public, pg_catalog', current_database());
  end $do$`;

async function prepare(url: string): Promise<void> {
  const { store } = createPostgresStore(postgresOptions(url));
  try {
    await store.open("trial");
  } finally {
    await store.close();
  }
  await once(url, (sql) =>
    sql.unsafe(`
      create table trial_order (n bigint not null);
      insert into trial_order values (0);
      create table trial (n bigint primary key, term bigint, leader text,
        at timestamptz default clock_timestamp());
      ${SETTABLE_CLOCK}`));
}

/** A term that two leaders commit under counts, too. */
function tooLateOf(rows: readonly Row[]): string[] {
  const found: string[] = [];
  const leaderOf = new Map<number, string>();
  let highest = 0;
  for (const { n, term, leader } of rows) {
    const first = leaderOf.get(term) ?? leader;
    leaderOf.set(term, first);
    if (term < highest) found.push(`commit ${n}: ${leader} by the term ${term}, after ${highest}`);
    if (first !== leader) found.push(`commit ${n}: ${leader} by the term ${term} of ${first}`);
    highest = Math.max(highest, term);
  }
  return found;
}
