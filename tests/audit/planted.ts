/** Plants what is to be found, one thing after the other, and has `dsproxy audit` look for it. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";
import { NUMBERS, PLANTS, type Sources } from "./plants.ts";

export interface Audited {
  readonly code: number;
  readonly verdict: string;
  /** Each is what was found and its first two words. */
  readonly named: readonly string[];
  readonly text: string;
}

/** Runs the command beside an instance. */
export async function auditBeside(proxy: Dsproxy, ...args: string[]): Promise<Audited> {
  await using run = Dsproxy.spawn(proxy.settings, ["audit", ...args]);
  const { code, stdout, log } = await run.ended();
  const named = [...stdout.matchAll(/^ {2}(missing|doubled|stray) +(\S+)/gm)];
  return {
    code,
    verdict: stdout.split("\n")[0]!,
    named: named.map(([, kind, id]) => `${kind} ${id}`),
    text: stdout + log,
  };
}

/** @throws unless it is clean, and ends with 0 */
export async function assertClean(proxy: Dsproxy): Promise<void> {
  const { code, text, named } = await auditBeside(proxy);
  assert.deepEqual([code, named], [0, []], text);
}

export interface Outcome {
  readonly what: string;
  readonly verdict: string;
  readonly named: readonly string[];
  readonly closed: string;
}

/** @throws when the audit says anything else than what was planted */
export async function plantAll(): Promise<Outcome[]> {
  const database = await createDatabase();
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-audit-" });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  const settings = (name: string) => ({
    DATA_DIR: `${folder}/${name}`,
    DATABASE_URL: database.url,
    BATCH_INTERVAL: "50ms",
  });
  try {
    const sources = await makeSources(settings("gone"), sql);
    // Its journal has nothing of them: an instance that has brings back what the store lacks.
    await using proxy = await Dsproxy.start(settings("audits"));
    await assertClean(proxy);
    const outcomes: Outcome[] = [];
    for (const plant of PLANTS) {
      for (const text of plant.sql(sources)) await sql.unsafe(text);
      const { code, named, verdict, text } = await auditBeside(proxy);
      const expected = [...plant.named(sources)].sort();
      assert.deepEqual([code, [...named].sort()], [2, expected], `${plant.what}: ${text}`);
      for (const text of plant.undo?.(sources) ?? []) await sql.unsafe(text);
      if (plant.undo === undefined) await acceptAll(proxy, named);
      await assertClean(proxy);
      const closed = plant.undo === undefined ? "`audit accept`" : "undone";
      outcomes.push({ what: plant.what, verdict, named: withNames(named, sources), closed });
    }
    await proxy.stop();
    return outcomes;
  } finally {
    await sql.end();
    await database.drop();
    await Deno.remove(folder, { recursive: true });
  }
}

async function acceptAll(proxy: Dsproxy, named: readonly string[]): Promise<void> {
  for (const line of named) {
    const { code, text } = await auditBeside(
      proxy,
      ...["accept", line.replace("missing ", ""), "--reason", "planted"],
    );
    assert.equal(code, 0, text);
    assert.match(text, /^\d+ numbers? accepted$/m);
  }
}

/** Three runs of one instance, which have nothing left in the journal that matters. */
async function makeSources(settings: Environment, sql: postgres.Sql): Promise<Sources> {
  const runs: string[] = [];
  for (const name of ["withDeadLetter", "another", "third"]) {
    await using proxy = await Dsproxy.start(settings);
    let id = "";
    for (let i = 1; i < NUMBERS; i++) id = await proxy.accept({ user_id: `u${i}`, value: name });
    await settled(proxy);
    if (name === "withDeadLetter") {
      await sql`alter table user_data add constraint no_bad check (value <> 'bad')`;
    }
    const value = name === "withDeadLetter" ? "bad" : name;
    await proxy.accept({ user_id: "last", value });
    await settled(proxy);
    await sql`alter table user_data drop constraint if exists no_bad`;
    runs.push(id.replace(/-\d+$/, ""));
    await proxy.stop();
  }
  const [withDeadLetter, another, third] = runs as [string, string, string];
  return { withDeadLetter, another, third };
}

export async function settled(proxy: Dsproxy): Promise<void> {
  const isEmpty = async () => await proxy.metric("dsproxy_queue_depth") === 0;
  await eventually("the queue is empty", isEmpty);
}

/** Runs are named by letters, so that a page says the same each time that it is written. */
function withNames(named: readonly string[], sources: Sources): string[] {
  const runs = Object.values(sources) as string[];
  return named.map((line) =>
    runs.reduce((text, run, i) => text.replace(run, "ABC"[i]!), line)
      .replace(/[0-9a-z]{12}(?=-)/, "D")
  );
}
