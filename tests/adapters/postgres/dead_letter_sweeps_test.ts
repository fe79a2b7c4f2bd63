import assert from "node:assert/strict";
import { Database } from "../../../src/adapters/postgres/database.ts";
import { PostgresDeadLetterSweeps } from "../../../src/adapters/postgres/dead_letter_sweeps.ts";
import type { Swept } from "../../../src/ports/dead_letter_sweeps.ts";
import { createDatabase, once } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";

const RUN = "instance0001";
const MEGABYTE = 1_000_000;

/** Sweeps that look at two letters at a time, over some that stand in the table already. */
async function withLetters(
  letters: readonly { userId: string; bytes?: number }[],
  work: (
    sweeps: PostgresDeadLetterSweeps,
    execute: (text: string) => Promise<readonly Record<string, unknown>[]>,
  ) => Promise<void>,
  lookedAtMax = 2,
): Promise<void> {
  const server = await createDatabase();
  const database = new Database(postgresOptions(server.url));
  const execute = (text: string) => once(server.url, async (sql) => [...await sql.unsafe(text)]);
  try {
    await database.run((session) => session.query("select"));
    for (const [i, { userId, bytes = 1 }] of letters.entries()) {
      const seq = i + 1;
      await execute(`insert into dsproxy_dead_letters values ('${RUN}', '${RUN}-${seq}',
        '${userId}', repeat('x', ${bytes}), 1, ${seq}, '${RUN}', ${seq}, '23514', 'no')`);
    }
    await work(new PostgresDeadLetterSweeps(database, lookedAtMax), execute);
  } finally {
    await database.close();
    await server.drop();
  }
}

/** The numbers that each part was done with, until there is none behind it. */
async function partsOf(step: (from: Swept["next"]) => Promise<Swept>): Promise<number[][]> {
  const parts: number[][] = [];
  let from: Swept["next"];
  do {
    const { done, next } = await step(from);
    parts.push(done.map(({ seq }) => seq));
    from = next;
  } while (from !== undefined);
  return parts;
}

Deno.test("a part that finds none of its filter among those it looks at goes on behind them", () =>
  withLetters(["a", "a", "a", "a", "b"].map((userId) => ({ userId })), async (sweeps, execute) => {
    const parts = await partsOf((from) => sweeps.discardSome({ userId: "b" }, 9, from));
    assert.deepEqual(parts, [[], [], [5]]);
    const rest = await partsOf((from) => sweeps.discardSome({}, 9, from));
    assert.deepEqual(rest, [[1, 2], [3, 4], []]);
    const [gone] = await execute("select kind, numbers::text from dsproxy_gone");
    assert.deepEqual([gone!.kind, String(gone!.numbers).slice(0, 7)], ["discarded", "0111110"]);
  }));

Deno.test("a part has so many bytes of values, and one letter at least", () => {
  const letters = [1, 3, 2, 5, 1].map((size) => ({ userId: "u", bytes: size * MEGABYTE }));
  return withLetters(letters, async (sweeps, execute) => {
    const parts = await partsOf((from) => sweeps.replaySome({}, 9, from));
    assert.deepEqual(parts, [[1, 2], [3], [4], [5]]);
    const [row] = await execute("select count(*)::int as n from user_data");
    assert.equal(row!.n, 5);
  }, 100);
});

Deno.test("what a trigger lets vanish stays a dead letter; its neighbours go in", () =>
  withLetters(["a", "b", "c"].map((userId) => ({ userId })), async (sweeps, execute) => {
    await execute(`create function lose() returns trigger language plpgsql as $$ begin
        if new.user_id = 'b' then return null; end if; return new; end $$;
      create trigger lose before insert on user_data for each row execute function lose()`);
    const { done, refused } = await sweeps.replaySome({}, 9);
    assert.deepEqual([done.map(({ userId }) => userId), refused], [["a", "c"], 1]);
    const left = await execute("select user_id, attempts, message from dsproxy_dead_letters");
    assert.deepEqual(left.map(({ user_id, attempts }) => [user_id, attempts]), [["b", 2]]);
    assert.match(String(left[0]!.message), /vanish/);
  }, 100));
