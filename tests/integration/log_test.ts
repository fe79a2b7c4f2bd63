/** What stands in the log of an instance on which everything goes wrong, and what never does. */
import assert from "node:assert/strict";
import { LOG_EVENTS } from "../../src/telemetry/log_events.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { once, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

/** It is a part of each user id and value, and of each password. */
const MARKER = "zq7marker";
/** PostgreSQL repeats the row in each of these refusals. */
const POISON = ["raised", "cast", "checked", "unknown"];

type Line = Readonly<Record<string, unknown>>;

function linesOf(program: Dsproxy): Line[] {
  return program.log.trim().split("\n").map((line) => JSON.parse(line) as Line);
}

const eventsOf = (program: Dsproxy, event: string, dependency?: string) =>
  linesOf(program).filter((line) =>
    line.event === event && (dependency === undefined || line.dependency === dependency)
  );

async function makeTouchyTable(url: string): Promise<void> {
  await once(url, (sql) =>
    sql.unsafe(`
      create table user_data (user_id text, value text, ts bigint);
      create function touchy() returns trigger language plpgsql as $$
      begin
        if new.value like '%raised' then raise 'no % of %', new.value, new.user_id; end if;
        if new.value like '%cast' then perform new.value::int; end if;
        if new.value like '%checked' then
          raise '% is against the rules', new.value using errcode = '23514';
        end if;
        if new.value like '%unknown' then execute format('select from %I', new.value); end if;
        return new;
      end $$;
      create trigger touchy before insert on user_data for each row execute function touchy()`));
}

async function sendNonsense(program: Dsproxy): Promise<void> {
  const bodies = [`{"user_id": "${MARKER}`, `{"${MARKER}": 1}`, `{"user_id": ["${MARKER}"]}`];
  for (const body of bodies) {
    const response = await fetch(`${program.url}/write`, { method: "POST", body });
    assert.equal(response.status, 400, await response.text());
  }
  for (const path of [`/${MARKER}`, `/writes/${MARKER}`, `/admin/dead-letters?after=${MARKER}`]) {
    assert.ok(await program.status(path) >= 400, path);
  }
  await program.read(MARKER, MARKER);
}

async function writeAll(program: Dsproxy, endings: readonly string[]): Promise<void> {
  for (const [i, ending] of endings.entries()) {
    await program.accept({ user_id: `${MARKER}-${i}`, value: `${MARKER} ${ending}` });
    await program.read(`${MARKER}-${i}`);
    await program.read(`${MARKER}-nobody`);
  }
}

async function goThroughAnOutage(
  program: Dsproxy,
  { postgres, redis }: { readonly postgres: PostgresServer; readonly redis: RedisServer },
): Promise<void> {
  await Promise.all([postgres.stop(), redis.stop()]);
  await eventually("breakers open, and the outage is told", async () => {
    await writeAll(program, ["good", "good"]);
    return eventsOf(program, "store-away").length > 0 &&
      eventsOf(program, "breaker-open", "store-reads").length > 0 &&
      eventsOf(program, "breaker-open", "cache").length > 0;
  });
  await Promise.all([postgres.start(), redis.start()]);
  await eventually("all is told to be back", async () => {
    await writeAll(program, ["good"]);
    return eventsOf(program, "store-back").length > 0 &&
      eventsOf(program, "breaker-closed", "store-reads").length > 0 &&
      eventsOf(program, "breaker-closed", "cache").length > 0;
  });
}

/** Two lines of which the second says how long it took. */
function assertToldOnce(program: Dsproxy, began: string, over: string, dependency?: string): void {
  const [begins, ends] = [began, over].map((event) => eventsOf(program, event, dependency));
  assert.equal(begins!.length, 1, program.log);
  assert.equal(ends!.length, 1, program.log);
  const [beginMs, endMs] = [begins![0]!, ends![0]!].map(({ time }) => Date.parse(String(time)));
  const { lastedMs } = ends![0]!;
  assert.ok(Number.isInteger(lastedMs), program.log);
  // What is told to have begun has begun before the line was written.
  assert.ok(Number(lastedMs) >= endMs! - beginMs! - 1, program.log);
}

Deno.test("an outage is told once at each end, and no line has a user id, a value or a password in it", async () => {
  await using postgres = await startPostgres();
  await using redis = await startRedis({ config: [`user app on >pw-${MARKER} ~* +@all`] });
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-log-" });
  try {
    await makeTouchyTable(postgres.url);
    await once(
      postgres.url,
      (sql) => sql.unsafe(`create role app superuser login password 'pw-${MARKER}'`),
    );
    const settings = {
      DATA_DIR: dataDir,
      DATABASE_URL: postgres.url.replace(/\/\/[^@]*@/, `//app:pw-${MARKER}@`),
      REDIS_URL: redis.url.replace("//", `//app:pw-${MARKER}@`),
      BATCH_INTERVAL: "100ms",
      LOG_LEVEL: "debug",
    };
    await using program = await Dsproxy.start(settings);
    await sendNonsense(program);
    await writeAll(program, ["good", ...POISON]);
    const refused = () => eventsOf(program, "rows-refused").reduce((n, line) => n + +line.rows!, 0);
    await eventually("rows are refused", () => Promise.resolve(refused() >= POISON.length));
    await goThroughAnOutage(program, { postgres, redis });
    await program.stop();

    assert.doesNotMatch(program.log, new RegExp(MARKER, "i"));
    for (const line of linesOf(program)) {
      assert.match(String(line.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.match(String(line.level), /^(debug|info|warn|error)$/);
      assert.ok(typeof line.message === "string" && line.message !== "");
      if (line.level !== "debug") assert.ok(String(line.event) in LOG_EVENTS, line.message);
    }
    assertToldOnce(program, "store-away", "store-back");
    for (const dependency of ["store-reads", "cache"]) {
      assertToldOnce(program, "breaker-open", "breaker-closed", dependency);
    }
    for (const event of ["started", "leader-gained", "draining", "stopped"]) {
      assert.ok(eventsOf(program, event).length >= 1, `no ${event}: ${program.log}`);
    }
    const reasons = eventsOf(program, "rows-refused").map(({ reason }) => reason);
    assert.ok(reasons.includes("a check constraint refuses it"), program.log);
    const told = linesOf(program).filter(({ level }) => level !== "debug");
    assert.ok(told.length < 50, program.log);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
