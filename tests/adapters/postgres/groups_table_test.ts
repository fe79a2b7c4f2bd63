/** The table of the applied intervals, what a role needs for it, and who stands in its way. */
import assert from "node:assert/strict";
import pg from "pg";
import { grants, schemaScript } from "../../../src/adapters/postgres/ddl.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import type { EntryGroup } from "../../../src/ports/group_store.ts";
import { group, SOURCE } from "../../support/groups.ts";
import { startPgBouncer } from "../../support/pgbouncer.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { execute, single } from "../../support/postgres_migration.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { withRole } from "../../support/postgres_roles.ts";
import { Random } from "../../support/random.ts";
import { eventually } from "../../support/dsproxy.ts";

const GROUP = group(1, 3);

Deno.test("a role that may not create the table is told what its owner has to run", () =>
  withDatabase(async (url) => {
    await once(url, (sql) => sql.unsafe("revoke create on schema public from public"));
    const owner = createPostgresStore(postgresOptions(url));
    await owner.store.open(SOURCE);
    await owner.store.close();
    await withRole(url, async (role) => {
      await once(url, (sql) => sql.unsafe(grants("public", role.user).join("; ")));
      const { store, groups } = createPostgresStore(postgresOptions(url, {
        user: role.user,
        password: () => role.password,
      }));
      const refused = await groups.apply([GROUP]).then(
        () => "",
        (error) => error.message as string,
      );
      assert.match(refused, /may not create a table in the schema public/);
      await once(url, (sql) => sql.unsafe(/run this: (.*)$/.exec(refused)![1]!));
      assert.equal((await groups.apply([GROUP])).rows, 3);
      assert.equal((await groups.fold(SOURCE)).mark, 3);
      await store.close();
    });
  }));

Deno.test("a table that was dropped is made again", () =>
  withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url));
    await groups.apply([GROUP]);
    await groups.fold(SOURCE);
    await once(url, (sql) => sql.unsafe("drop table dsproxy_applied"));
    await assert.rejects(groups.apply([GROUP]));
    assert.equal((await groups.apply([GROUP])).rows, 0);
    await store.close();
  }));

/** Runs `work` as a role that may not create tables, where the printed script was run for it. */
function withScriptedRole(work: (roleUrl: string, url: string) => Promise<void>): Promise<void> {
  return withDatabase(async (url) => {
    await execute(url, "revoke create on schema public from public");
    await withRole(url, async ({ user, password }) => {
      for (const statement of schemaScript("public", user).split(";\n")) {
        if (statement !== "") await execute(url, statement);
      }
      const roleUrl = Object.assign(new URL(url), { username: user, password }).href;
      await work(roleUrl, url);
    });
  });
}

Deno.test("the script for a migration by hand is all that a role needs for groups, too", () =>
  withScriptedRole(async (roleUrl) => {
    const { store, groups } = createPostgresStore(postgresOptions(roleUrl));
    assert.equal((await groups.apply([group(4, 6), GROUP])).rows, 6);
    assert.deepEqual(await groups.fold(SOURCE), { mark: 6, ahead: false });
    await store.close();
  }));

/** Returns the groups of a few sources, in a random order of their own. */
function shuffledGroups(random: Random): EntryGroup[] {
  const all = ["run00000000a", "run00000000b", "run00000000c"].flatMap((source) =>
    Array.from({ length: 30 }, (_, i) => group(5 * i + 1, 5 * i + 5, source))
  );
  return all.map((one) => ({ one, key: random.next() })).sort((a, b) => a.key - b.key)
    .map(({ one }) => one);
}

Deno.test("workers share PgBouncer's connections, and none waits for one that waits for it", () =>
  withScriptedRole(async (roleUrl, url) => {
    await using bouncer = await startPgBouncer({
      databaseUrl: roleUrl,
      poolMode: "transaction",
      poolSize: 3,
    });
    const random = new Random(20_241_128);
    const work = async (): Promise<void> => {
      const { store, groups } = createPostgresStore(postgresOptions(bouncer.url));
      const shuffled = shuffledGroups(random);
      const calls = Array.from({ length: 10 }, async (_, i) => {
        await groups.apply(shuffled.slice(9 * i, 9 * i + 9));
        for (const { source } of shuffled.slice(9 * i, 9 * i + 3)) await groups.fold(source);
      });
      // A deadlock would reject one of them.
      await Promise.all(calls).finally(() => store.close());
    };
    await Promise.all([work(), work(), work()]);
    assert.equal(await single(url, "select count(*)::int from user_data"), 450);
    const { store, groups } = createPostgresStore(postgresOptions(bouncer.url));
    for (const source of ["run00000000a", "run00000000b", "run00000000c"]) {
      assert.deepEqual(await groups.fold(source), { mark: 150, ahead: false });
    }
    await store.close();
    assert.equal(await single(url, "select count(*)::int from dsproxy_applied"), 0);
  }));

/** It is given no data, as by a client that is gone without a word. */
class StalledCopy extends pg.Query {
  handleCopyInResponse(): void {}
}

Deno.test("a COPY whose client is gone without a word does not keep groups out for ever", () =>
  withDatabase(async (url) => {
    const { store, groups } = createPostgresStore(postgresOptions(url, { callTimeoutMs: 300 }));
    await store.open(SOURCE);
    const client = new pg.Client(url);
    client.on("error", () => {});
    await client.connect();
    try {
      await client.query("begin; select from dsproxy_marks for update");
      client.query(new StalledCopy("copy user_data (user_id) from stdin", () => {}));
      await assert.rejects(groups.apply([GROUP]), /a lock was not had in time/);
      await eventually("the lock is given up", async () => {
        return await groups.apply([GROUP]).then(() => true, () => false);
      });
      assert.deepEqual(await groups.fold(SOURCE), { mark: 3, ahead: false });
      assert.equal(await single(url, "select count(*)::int from user_data"), 3);
    } finally {
      await store.close();
      await client.end().catch(() => {});
    }
  }));
