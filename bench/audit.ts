/**
 * `deno task bench:audit [--rows N] [--rounds N]`: what the audit takes of a large table, and what
 * its index takes of a flush; writes its sections of docs/audit_results.md.
 */
import { parseArgs } from "node:util";
import { createPostgresStore } from "../src/adapters/postgres/store.ts";
import type { Audit } from "../src/ports/audit.ts";
import { once, startPostgres, withDatabase } from "../tests/support/postgres.ts";
import { postgresOptions } from "../tests/support/postgres_options.ts";
import { entry } from "../tests/support/fakes.ts";
import { writeSections } from "./audit_results.ts";
import { print } from "./print.ts";
import { ratios, spread } from "./statistics.ts";

const SAMPLE_NUMBERS = 10_000;
const SOURCES = 10;
const FLUSHED_ROWS = 2_000;
const FLUSHES = 30;
const INDEX = "dsproxy_user_data_numbers";
const ON = "on user_data";
/** Each is held against a table without an index by numbers. */
const INDEXES: Readonly<Record<string, string>> = {
  "BRIN, as it is built":
    `create index ${INDEX} ${ON} using brin (dsproxy_instance, dsproxy_seq) ` +
    "with (pages_per_range = 16, autosummarize = on)",
  "B-tree": `create index ${INDEX} ${ON} (dsproxy_instance, dsproxy_seq)`,
};

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "20000000" },
    rounds: { type: "string", default: "5" },
  },
});
const rows = Number(values.rows);
const rounds = Number(values.rounds);

const nameOf = (source: number) => `run${String(source).padStart(9, "0")}`;

/** So many sources bring their numbers in turn, a batch at a time, as instances do. */
function fill(url: string): Promise<unknown> {
  const perSource = Math.floor(rows / SOURCES);
  return once(url, (sql) =>
    sql.unsafe(`
      insert into user_data (user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq)
      select 'user' || (i::bigint * 7919) % 1000000, repeat('v', 100), i / 1000, i,
        'run' || lpad((1 + i / 1000 % ${SOURCES})::text, 9, '0'),
        1000 * (i / ${1_000 * SOURCES}) + i % 1000 + 1
      from generate_series(0, ${perSource * SOURCES - 1}) as i;
      insert into dsproxy_marks (source, seq)
      select 'run' || lpad(s::text, 9, '0'), ${perSource} from generate_series(1, ${SOURCES}) s
      on conflict (source) do update set seq = excluded.seq`));
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return (performance.now() - startedMs) / 1_000;
}

async function sampleMs(audit: Audit): Promise<string> {
  const took: number[] = [];
  for (let i = 0; i < 20; i++) {
    const first = 1 + Math.floor(Math.random() * (rows / SOURCES - SAMPLE_NUMBERS));
    const source = nameOf(1 + i % SOURCES);
    took.push(
      1_000 * await secondsOf(async () => {
        const { missing, numbers } = await audit.check(source, first, first + SAMPLE_NUMBERS - 1);
        if (missing.numbers > 0 || numbers !== SAMPLE_NUMBERS) throw new Error("a false alarm");
      }),
    );
  }
  return spread(took);
}

async function indexSize(url: string): Promise<string> {
  const [row] = await once(
    url,
    (sql) => sql.unsafe(`select pg_size_pretty(pg_relation_size('${INDEX}')) as size`),
  );
  return String(row!.size);
}

/** What a whole audit and a sampled step take, with each index and without. */
function measureLooks(): Promise<string[][]> {
  return withDatabase(async (url) => {
    const { store, audit } = createPostgresStore(postgresOptions(url));
    await store.open("first");
    print(`filling ${rows} rows …`);
    await fill(url);
    await once(url, (sql) => sql.unsafe("vacuum analyze user_data"));
    const table: string[][] = [];
    const looks = async (name: string, size: string) => {
      const whole: number[] = [];
      for (let i = 0; i < 3; i++) {
        whole.push(
          await secondsOf(async () => {
            const found = await audit.survey();
            if (found.some(({ agrees, strays }) => !agrees || strays > 0)) {
              throw new Error("a false alarm");
            }
          }),
        );
      }
      const sampled = name === "none" ? "–" : await sampleMs(audit);
      table.push([name, size, spread(whole), sampled]);
      print(table.at(-1)!.join(" | "));
    };
    await looks("none", "–");
    for (const [name, create] of Object.entries(INDEXES)) {
      await once(url, (sql) => sql.unsafe(create));
      await once(url, (sql) => sql.unsafe("vacuum analyze user_data"));
      await looks(name, await indexSize(url));
      await once(url, (sql) => sql.unsafe(`drop index ${INDEX}`));
    }
    await store.close();
    return table;
  });
}

/** Rows a second of flushes into a table with this index, which is empty at first. */
function flushedPerSecond(create: string | undefined): Promise<number> {
  return withDatabase(async (url) => {
    const { store } = createPostgresStore(postgresOptions(url));
    const run = nameOf(1);
    await store.open(run);
    if (create !== undefined) await once(url, (sql) => sql.unsafe(create));
    let seq = 0;
    const flush = async () => {
      const batch = Array.from({ length: FLUSHED_ROWS }, (_, i) =>
        entry(seq + i + 1, {
          ...{ run, userId: `user${(seq + i) * 7919 % 100_000}`, value: "v".repeat(100) },
        }));
      await store.put(run, batch, seq);
      seq += FLUSHED_ROWS;
    };
    for (let i = 0; i < 5; i++) await flush();
    const took = await secondsOf(async () => {
      for (let i = 0; i < FLUSHES; i++) await flush();
    });
    await store.close();
    return FLUSHED_ROWS * FLUSHES / took;
  });
}

async function measureFlushes(): Promise<string[][]> {
  const indexes = { "none": undefined, ...INDEXES };
  const rates: Record<string, number[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, create] of Object.entries(indexes)) {
      (rates[name] ??= []).push(await flushedPerSecond(create));
      print(`flushes: ${name} ${rates[name]!.at(-1)!.toFixed(0)} rows/s`);
    }
  }
  return Object.entries(rates).map(([name, of]) => [
    name,
    spread(of),
    spread(ratios(of, rates["none"]!)),
  ]);
}

const postgres = await startPostgres();
Deno.env.set("TEST_DATABASE_URL", postgres.url);
try {
  const looks = await measureLooks();
  const flushes = await measureFlushes();
  await writeSections({
    "What a look takes": {
      text: `${rows} rows of ${SOURCES} sources, whose batches of 1,000 lie between one another. ` +
        `A sampled step compares ${SAMPLE_NUMBERS} numbers.`,
      head: ["index by numbers", "its size", "whole audit, s", "sampled step, ms"],
      rows: looks,
    },
    "What the index takes of a flush": {
      text: `Flushes of ${FLUSHED_ROWS} rows one after the other, each kind in turn, ` +
        `${rounds} rounds.`,
      head: ["index by numbers", "rows a second", "/ none"],
      rows: flushes,
    },
  });
} finally {
  await postgres.dispose();
}
