/**
 * Six instances as real processes bring what they have to one PostgreSQL that is as slow as a disk of
 * so many rows a second: a trigger takes that disk for a slice of time, over and over, so that those
 * under way share it alike, and what was done for a flush that is ended at its deadline is lost.
 */
import { once, withDatabase } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { delay } from "../support/services.ts";
import { Layout, type Place } from "./layout.ts";

export interface SlowStore {
  /** No bound where it is left out. */
  readonly slots?: number;
  /** Each instance is given so many writes. */
  readonly writesEach: number;
  /** A row keeps the disk for so long. */
  readonly rowMs: number;
  readonly batchMax: number;
  /** Called once, when the first flushes are under way. */
  readonly meanwhile?: (layout: Layout, redis: { kill(): Promise<void> }) => Promise<void>;
}

export interface SlowStoreReport {
  readonly rowsPerSecond: number;
  readonly rows: number;
  /** So many writes are there once or more often. */
  readonly distinct: number;
  /** So many flushes were under way at most, as the database saw it. */
  readonly most: number;
  readonly failed: number;
  /** So many flushes were bounded in their process alone. */
  readonly fallbacks: number;
  /** So long a flush waited for its slot, on average; NaN where none had to have one. */
  readonly meanWaitMs: number;
  /** They ascend: how long each flush was under way in the database, whatever came of it. */
  readonly flushMs: readonly number[];
}

const INSTANCES = 6;
/** They are fast enough for such a store, and leave time for everything else. */
const WRITERS_EACH = 4;
const SAMPLE_MS = 20;

const slowDisk = (rowMs: number) => `
  create function slow_disk() returns trigger language plpgsql as $$
  declare slices int;
  begin
    select ceil(count(*) * ${rowMs} / 10.0) into slices from fresh;
    for i in 1..slices loop
      begin
        perform pg_advisory_lock(7);
        perform pg_sleep(0.01);
      exception when query_canceled then
        perform pg_advisory_unlock(7);
        raise;
      end;
      perform pg_advisory_unlock(7);
    end loop;
    return null;
  end $$;
  create trigger slow_disk after insert on user_data referencing new table as fresh
    for each statement execute function slow_disk()`;

export function flushToSlowStore(options: SlowStore): Promise<SlowStoreReport> {
  const { slots, batchMax, rowMs, writesEach, meanwhile } = options;
  return withDatabase(async (databaseUrl) => {
    await using redis = await startRedis();
    const settings = {
      ...{ DATABASE_URL: databaseUrl, REDIS_URL: redis.url, QUEUE: "journal" },
      BATCH_MAX: String(batchMax),
      ...(slots !== undefined && { FLUSH_SLOTS: String(slots) }),
    };
    const shape = { servers: INSTANCES, workers: 0, settings, serverRole: "all" } as const;
    await using layout = await Layout.start(shape);
    // The table is there once something was stored, and everybody has met Redis.
    for (const { process } of layout.servers) {
      await process.accept({ user_id: "first", value: "" }, "?ack=flushed");
    }
    await once(databaseUrl, (sql) => sql.unsafe(slowDisk(rowMs)));
    const watch = new Watch(databaseUrl);
    const startedMs = performance.now();
    await Promise.all(layout.servers.map((place, i) => writeAll(place, i, writesEach)));
    await meanwhile?.(layout, redis);
    await layout.untilStored(600_000);
    const seconds = (performance.now() - startedMs) / 1_000;
    const { most, flushMs } = await watch.end();
    const failed = await sumOf(layout, "dsproxy_flush_retries_total");
    const fallbacks = await sumOf(layout, "dsproxy_flush_slot_fallbacks_total");
    const waited = await sumOf(layout, "dsproxy_flush_slot_wait_seconds_sum");
    const meanWaitMs = waited * 1_000 /
      await sumOf(layout, "dsproxy_flush_slot_wait_seconds_count");
    for (const place of layout.places) await place.stop();
    const { rows, distinct } = await counted(databaseUrl);
    const rowsPerSecond = rows / seconds;
    return { rowsPerSecond, rows, distinct, most, failed, fallbacks, meanWaitMs, flushMs };
  });
}

async function writeAll({ process }: Place, instance: number, count: number): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: WRITERS_EACH }, async () => {
    while (next < count) {
      await process.accept({ user_id: `of ${instance}: ${next++}`, value: "x".repeat(100) });
    }
  }));
}

async function sumOf(layout: Layout, metric: string): Promise<number> {
  const each = await Promise.all(layout.servers.map(({ process }) => process.metric(metric)));
  return each.reduce((sum, value) => sum + value, 0);
}

/** The first write of each, before the store was slow, does not count. */
async function counted(databaseUrl: string): Promise<{ rows: number; distinct: number }> {
  const [row] = await once(databaseUrl, (sql) =>
    sql<{ rows: number; distinct: number }[]>`
      select count(*)::int as rows, count(distinct user_id)::int as "distinct"
      from user_data where user_id <> 'first'`);
  return row!;
}

/** Looks again and again who is inserting, over one connection. */
class Watch {
  #most = 0;
  #isOver = false;
  /** By backend and begin of the transaction, how long it had been under way when last seen. */
  readonly #flushes = new Map<string, number>();
  readonly #watching: Promise<void>;

  constructor(databaseUrl: string) {
    this.#watching = once(databaseUrl, async (sql) => {
      while (!this.#isOver) {
        const rows = await sql<{ flush: string; ms: number }[]>`
          select pid || ' ' || xact_start as flush,
            (extract(epoch from clock_timestamp() - xact_start) * 1000)::float as ms
          from pg_stat_activity
          where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
            and query ~* '(copy|insert into) +[a-z_."]*user_data'`;
        this.#most = Math.max(this.#most, rows.length);
        for (const { flush, ms } of rows) this.#flushes.set(flush, ms);
        await delay(SAMPLE_MS);
      }
    });
  }

  async end(): Promise<Pick<SlowStoreReport, "most" | "flushMs">> {
    this.#isOver = true;
    await this.#watching;
    return { most: this.#most, flushMs: [...this.#flushes.values()].sort((a, b) => a - b) };
  }
}
