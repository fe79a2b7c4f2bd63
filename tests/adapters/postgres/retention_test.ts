/** Retention in a database that others use too: their rows, locks, rights, triggers, partitions. */
import assert from "node:assert/strict";
import { grantRetention, grants } from "../../../src/adapters/postgres/ddl.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { compareVersions, type Entry, newestOfEach, writeId } from "../../../src/domain.ts";
import { StoreRefusesError, StoreUnavailableError, TermOverError } from "../../../src/errors.ts";
import { wholePass } from "../../contract/retention_suite.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { execute, single } from "../../support/postgres_migration.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { withRole } from "../../support/postgres_roles.ts";
import { Random } from "../../support/random.ts";

const RUN = "run00000000a";
type Ports = ReturnType<typeof createPostgresStore>;

/** Runs `work` with a store of its own in the database, whose index is there. */
async function withStore(url: string, work: (ports: Ports) => Promise<void>): Promise<void> {
  const ports = createPostgresStore(postgresOptions(url));
  try {
    await ports.store.open(RUN);
    await eventually(
      "the index is there",
      async () =>
        await single(
          url,
          "select count(*)::int from pg_index x join pg_class c on c.oid = x.indexrelid " +
            "where c.relname = 'dsproxy_user_data_latest' and x.indisvalid",
        ) === 1,
    );
    await work(ports);
  } finally {
    await ports.store.close();
  }
}

const withNewStore = (work: (ports: Ports, url: string) => Promise<void>) =>
  withDatabase((url) => withStore(url, (ports) => work(ports, url)));

/** Old writes of a user, numbered from `first`. */
function old(userId: string, first: number, count: number): Entry[] {
  return Array.from(
    { length: count },
    (_, i) => entry(first + i, { userId, run: RUN, ts: (first + i) % 1_000 }),
  );
}

const tsOf = async (url: string, userId: string) =>
  (await execute(url, `select ts::int from user_data where user_id = '${userId}' order by ts`))
    .map(({ ts }) => ts as number);

Deno.test("numbers of deleted rows and dead letters are noted, each with its kind", () =>
  withNewStore(async (ports, url) => {
    await ports.store.put(RUN, [...old("a", 1, 3), ...old("b", 8_191, 3)], 0);
    await execute(url, "insert into user_data (user_id, value, ts) values ('a', 'theirs', 1)");
    assert.equal((await wholePass(ports, 3)).rows, 5);
    await execute(url, "create unique index one_a_user on user_data (user_id)");
    await ports.store.put(RUN, old("a", 8_194, 2), 8_193);
    await ports.store.put(RUN, old("c", 8_196, 1), 8_195);
    await ports.deadLetters.discard(`${RUN}-8195`);
    const noted = await execute(
      url,
      `select kind, block * 8192 + i as seq from dsproxy_gone, generate_series(0, 8191) as i
       where source = '${RUN}' and get_bit(numbers, i) = 1 order by 1, 2`,
    );
    assert.deepEqual(noted.map(({ kind, seq }) => `${kind} ${seq}`), [
      "discarded 8195",
      "retired 1",
      "retired 2",
      "retired 8191",
      "retired 8192",
    ]);
  }));

Deno.test("a newest row that another program is deleting hides nothing", () =>
  withNewStore(async ({ store, retention, terms }, url) => {
    await store.put(RUN, [...old("a", 1, 3), ...old("b", 4, 3)], 0);
    await once(url, async (sql) => {
      await sql.unsafe("begin; delete from user_data where user_id = 'a' and ts = 3");
      assert.equal((await wholePass({ retention, terms }, 100)).rows, 2, "those of b");
      await sql.unsafe("commit");
    });
    assert.deepEqual(await tsOf(url, "a"), [1, 2]);
    assert.equal((await wholePass({ retention, terms }, 100)).rows, 1);
    assert.equal((await store.latest("a"))?.seq, 2);
  }));

Deno.test("while rows are deleted, who deletes the newest one waits until it is over", () =>
  withNewStore(async ({ store, retention, terms }, url) => {
    await store.put(RUN, old("a", 1, 3), 0);
    // The pass is held up by a lock on a row that it deletes, when it has those that it keeps.
    await once(url, async (blocker) => {
      await blocker.unsafe("begin; select from user_data where ts = 1 for update");
      const pass = wholePass({ retention, terms }, 100);
      pass.catch(() => {}); // It is awaited below.
      await eventually(
        "the pass waits",
        async () =>
          await single(
            url,
            "select count(*)::int from pg_stat_activity " +
              "where wait_event_type = 'Lock' and query like '%delete from user_data as old%'",
          ) === 1,
      );
      const started = await store.put(RUN, old("a", 4, 1), 3);
      assert.equal(started.rows, 1, "a flush waits for nothing");
      const deletion = execute(url, "delete from user_data where user_id = 'a' and ts = 3");
      await eventually(
        "the other program waits",
        async () =>
          await single(
            url,
            "select count(*)::int from pg_stat_activity where wait_event_type = 'Lock' " +
              "and query like 'delete from user_data where%ts = 3'",
          ) === 1,
      );
      await blocker.unsafe("rollback");
      assert.equal((await pass).rows, 2);
      await deletion;
    });
    assert.deepEqual(await tsOf(url, "a"), [4]);
  }));

Deno.test("late writes and passes at the same time leave what the total order says", () =>
  withNewStore(async ({ store, retention, terms }, url) => {
    const random = new Random(7);
    const term = await terms.begin("leader");
    const written: Entry[] = [];
    let isWriting = true;
    const write = async () => {
      for (let batch = 0; batch < 40; batch++) {
        const entries = Array.from({ length: 25 }, (_, i) =>
          entry(batch * 25 + i + 1, {
            userId: `u${random.below(8)}`,
            run: RUN,
            ts: random.below(1_500),
          }));
        await store.put(RUN, entries, batch * 25);
        written.push(...entries);
        for (const newest of newestOfEach(written)) {
          assert.deepEqual(await store.latest(newest.userId), newest);
        }
      }
    };
    const writing = write().finally(() => isWriting = false);
    while (isWriting) await wholePass({ retention, terms }, 5, term);
    await writing;
    await wholePass({ retention, terms }, 5, term);
    const newest = new Map(newestOfEach(written).map((of) => [of.userId, of]));
    const expected = written.filter((of) =>
      of.ts >= 1_000 || compareVersions(of, newest.get(of.userId)!) === 0
    );
    const left = await execute(
      url,
      "select dsproxy_instance || '-' || dsproxy_seq as id from user_data",
    );
    assert.deepEqual(left.map(({ id }) => id).sort(), expected.map(writeId).sort());
  }));

Deno.test("a leader whose term is over deletes nothing", () =>
  withNewStore(async ({ store, retention, terms }, url) => {
    await store.put(RUN, old("a", 1, 3), 0);
    const former = await terms.begin("former");
    await terms.begin("present");
    await assert.rejects(retention.retire(former, 1_000, 10), TermOverError);
    assert.deepEqual(await tsOf(url, "a"), [1, 2, 3]);
    assert.equal(await single(url, "select count(*)::int from dsproxy_gone"), 0);
  }));

Deno.test("a role that may not delete is told what its owner has to run, and goes on writing", () =>
  withNewStore(async ({ store }, url) => {
    await store.put(RUN, old("a", 1, 3), 0);
    await withRole(url, async ({ user, password }) => {
      await execute(url, grants("public", user).join("; "));
      const roleUrl = Object.assign(new URL(url), { username: user, password }).href;
      await withStore(roleUrl, async (limited) => {
        const refused = await wholePass(limited, 10).then(() => "", (error) => {
          assert.ok(error instanceof StoreRefusesError, `${error}`);
          return error.message;
        });
        assert.ok(refused.includes(grantRetention("public", user)), refused);
        assert.equal((await limited.store.put(RUN, old("a", 4, 1), 3)).rows, 1);
        await execute(url, /RETENTION out: (.*)$/.exec(refused)![1]!);
        assert.equal((await wholePass(limited, 10)).rows, 3);
      });
    });
  }));

Deno.test("a row whose deletion is refused stays, and its neighbours go", () =>
  withNewStore(async (ports, url) => {
    await ports.store.put(RUN, old("a", 1, 20), 0);
    await execute(
      url,
      `create function keep() returns trigger language plpgsql as $$ begin
         if old.ts = 3 then raise exception 'on hold'; end if;
         return case when old.ts = 5 then null else old end; end $$;
       create trigger keep before delete on user_data for each row execute function keep()`,
    );
    assert.deepEqual(await wholePass(ports, 7), { rows: 17, refused: 1 });
    assert.deepEqual(await tsOf(url, "a"), [3, 5, 20]);
  }));

Deno.test("where every deletion is refused it is said at once", () =>
  withNewStore(async (ports, url) => {
    await ports.store.put(RUN, old("a", 1, 200), 0);
    await execute(
      url,
      `create function keep() returns trigger language plpgsql as $$ begin
         raise exception 'nothing is deleted here'; end $$;
       create trigger keep before delete on user_data for each row execute function keep()`,
    );
    await assert.rejects(wholePass(ports, 1_000), /P0001/);
    assert.equal((await tsOf(url, "a")).length, 200);
  }));

Deno.test("rows of partitions are deleted as those of one table", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `create table user_data (user_id text, value text, ts bigint) partition by range (ts);
       create table old partition of user_data for values from (minvalue) to (500);
       create table recent partition of user_data for values from (500) to (maxvalue);
       insert into user_data select 'u' || i % 3, 'v' || i, i * 100 from generate_series(1, 12) i`,
    );
    await withStore(url, async (ports) => {
      assert.equal((await wholePass(ports, 2)).rows, 9);
      const left = await execute(url, "select ts::int from user_data order by ts");
      assert.deepEqual(left.map(({ ts }) => ts), [1_000, 1_100, 1_200]);
    });
  }));

Deno.test("a column whose collation takes several spellings for one has one user of them", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `create collation any_case
         (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
       create table user_data (user_id varchar(80) collate any_case, value text, ts bigint);
       insert into user_data
         values ('Ann', 'v', 1), ('ann', 'v', 2), ('ANN', 'v', 3), ('bob', 'v', 1)`,
    );
    await withStore(url, async (ports) => {
      assert.equal((await wholePass(ports, 1)).rows, 2);
      const left = await execute(url, "select user_id from user_data order by 1");
      assert.deepEqual(left.map(({ user_id }) => user_id), ["ANN", "bob"]);
    });
  }));

Deno.test("rows that nobody reads, or that have no age, stay", () =>
  withNewStore(async (ports, url) => {
    await execute(
      url,
      `insert into user_data (user_id, value, ts) values (null, 'v', 1), (null, 'v', 2),
         ('no age', 'v', null), ('no age', 'v', null), ('no age', 'v', 3),
         ('no value', null, 9), ('no value', 'v', 8), ('no value', 'v', 7),
         ('huge', 'v', -9223372036854775808), ('huge', 'v', -9223372036854775807)`,
    );
    assert.equal((await wholePass(ports, 1)).rows, 2);
    const left = await execute(url, "select user_id, ts::text from user_data order by 1, 2");
    assert.deepEqual(left.map(({ user_id, ts }) => `${user_id} ${ts}`), [
      "huge -9223372036854775807",
      "no age 3",
      "no age null",
      "no age null",
      "no value 8",
      "no value 9",
      "null 1",
      "null 2",
    ]);
  }));

Deno.test("a pass never reads the whole table", () =>
  withDatabase(async (url) => {
    await withStore(url, () =>
      execute(
        url,
        `insert into user_data (user_id, value, ts)
           select 'u' || i % 2000, repeat('v', 100), i from generate_series(1, 20000) i;
         insert into user_data (user_id, value, ts)
           select 'one', 'v', 1 from generate_series(1, 5000) i;
         insert into user_data (user_id, value, ts) values ('one', 'v', 2);
         analyze user_data`,
      ).then(() => {}));
    const scans = async () =>
      (await execute(
        url,
        "select seq_scan::int as whole, idx_scan::int as by_index from pg_stat_user_tables " +
          "where relname = 'user_data'",
      ))[0]!;
    const before = await scans();
    await withStore(url, async (ports) => {
      assert.equal((await wholePass(ports, 300)).rows, 5_999);
    });
    // A server process tells its numbers when it ends at the latest.
    await eventually(
      "the pass is in the statistics",
      async () => (await scans()).by_index > before.by_index + 6_000,
    );
    assert.equal((await scans()).whole, before.whole);
  }));

Deno.test("retention waits for its index", () =>
  withNewStore(async (_, url) => {
    await execute(url, "drop index dsproxy_user_data_latest");
    await withRole(url, async ({ user, password }) => {
      await execute(url, [...grants("public", user), grantRetention("public", user)].join("; "));
      const ports = createPostgresStore(
        postgresOptions(url, { user, password: () => password }),
      );
      const term = await ports.terms.begin("leader");
      await assert.rejects(ports.retention.retire(term, 1_000, 10), (error) => {
        assert.ok(error instanceof StoreUnavailableError, `${error}`);
        assert.match(error.message, /waits for the index dsproxy_user_data_latest/);
        return true;
      });
      await ports.store.close();
    });
  }));
