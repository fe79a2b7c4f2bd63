import assert from "node:assert/strict";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { assertTerm } from "../../../src/adapters/postgres/terms.ts";
import { Database } from "../../../src/adapters/postgres/database.ts";
import { StoreRefusesError, TermOverError } from "../../../src/errors.ts";
import { execute, single } from "../../support/postgres_migration.ts";
import { withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { delay } from "../../support/services.ts";

const LIFE_MS = 60_000;

type Ports = ReturnType<typeof createPostgresStore>;

function onStore(behaviour: string, work: (ports: Ports, url: string) => Promise<void>): void {
  Deno.test(behaviour, () =>
    withDatabase(async (url) => {
      const ports = createPostgresStore(postgresOptions(url));
      try {
        await work(ports, url);
      } finally {
        await ports.store.close();
      }
    }));
}

onStore("a lease that was renewed later than now, as the clock was set back, is over", async (
  { lease },
  url,
) => {
  const { sinceMs } = await lease.hold("a/1", LIFE_MS);
  const setBack = "update dsproxy_lease set renewed_at = renewed_at + interval '1 hour'";
  await execute(url, setBack);
  assert.ok((await lease.hold("a/1", LIFE_MS)).sinceMs >= sinceMs, "its holder keeps it");
  await execute(url, setBack);
  assert.equal((await lease.hold("b/1", LIFE_MS)).holder, "b/1");
});

onStore("an emptied table of the lease is named", async ({ lease }, url) => {
  await lease.hold("a/1", LIFE_MS);
  await execute(url, "delete from dsproxy_lease");
  await assert.rejects(lease.hold("a/1", LIFE_MS), (error) => {
    assert.ok(error instanceof StoreRefusesError);
    assert.match(error.message, /dsproxy_lease has no row/);
    return true;
  });
});

onStore("terms have numbers of their own, whoever begins them at the same time", async (
  { terms },
) => {
  const begun = await Promise.all(
    Array.from({ length: 20 }, (_, i) => terms.begin(`${i}/1`)),
  );
  const numbers = begun.map(({ number }) => number).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: 20 }, (_, i) => i + 1));
  const last = begun.find(({ number }) => number === 20)!;
  await terms.confirm(last);
  for (const term of begun) {
    if (term !== last) await assert.rejects(terms.confirm(term), TermOverError);
  }
  await assert.rejects(terms.confirm({ ...last, leader: "another" }), TermOverError);
});

onStore("no term begins while something of the one before it is being committed", async (
  { terms },
  url,
) => {
  const term = await terms.begin("a/1");
  await execute(url, "create table done (term int, seen int)");
  const database = new Database(postgresOptions(url));
  try {
    const committed = database.transaction(async (session) => {
      await assertTerm(session, term);
      await delay(300);
      await session.query("insert into done select 1, term from dsproxy_leader");
    });
    await delay(100);
    const next = await terms.begin("b/1");
    assert.equal(next.number, 2);
    assert.equal(await single(url, "select count(*)::int from done where seen = 1"), 1);
    await committed;
    await assert.rejects(
      database.transaction((session) => assertTerm(session, term)),
      (error) => {
        assert.ok(error instanceof TermOverError);
        assert.match(error.message, /term 1 is over: b\/1 leads by the term 2/);
        return true;
      },
    );
  } finally {
    await database.close();
  }
});
