/**
 * A backlog drains into PostgreSQL, against plain COPY of the same rows into the same table with
 * the same index: rows a second, each time into a new database.
 */
import { migrate } from "../../tests/support/postgres_migration.ts";
import { once } from "../../tests/support/postgres.ts";
import { installed, POSTGRES, type Program } from "../../tests/support/installed.ts";
import { delay, output } from "../../tests/support/services.ts";
import { BACKLOG_SETTINGS, copyOf, makeBacklog, shortly } from "../backlog.ts";
import type { Options } from "../options.ts";
import { print } from "../print.ts";
import type { Findings } from "../figures.ts";
import { inTurn } from "../rounds.ts";
import { type Behind, type Service, startService } from "../sides/service.ts";
import type { Servers } from "../sides/servers.ts";
import { ratios, spread } from "../statistics.ts";

const PSQL: Program = { ...POSTGRES, names: ["psql"], aptPackage: "postgresql-client" };
const COPY = "COPY";
const SIDES: readonly Behind[] = ["PostgreSQL", "PostgreSQL + Redis"];
const TARGET = { atLeast: 0.6 };
const POLL_MS = 20;

export async function drain(servers: Servers, options: Options): Promise<Findings> {
  const records = options.records[0]!;
  const prepared = `${servers.folder}/backlog`;
  const rowsFile = `${servers.folder}/rows`;
  await makeBacklog(prepared, records);
  let copies = 0;

  const drained = async (behind: Behind) => {
    const databaseUrl = await servers.database();
    const dataDir = await copyOf(prepared, `${servers.folder}/drain${++copies}`);
    await servers.checkpoint();
    let perSecond: number;
    {
      await using service = await startService(servers, {
        name: behind,
        behind,
        checkout: options.checkout,
        settings: BACKLOG_SETTINGS,
        databaseUrl,
        dataDir,
      });
      perSecond = await rowsPerSecond(service, records);
    }
    const [found] = await once(databaseUrl, (sql) => sql`select count(*)::int from user_data`);
    if (found!.count !== records) throw new Error(`${found!.count} rows of ${records} came`);
    if (copies === 1) await psql(databaseUrl, `\\copy user_data to '${rowsFile}'`);
    await servers.drop(databaseUrl);
    await Deno.remove(dataDir, { recursive: true });
    return perSecond;
  };
  const copied = async () => {
    const databaseUrl = await servers.database();
    await migrate(databaseUrl);
    await servers.checkpoint();
    const startedMs = performance.now();
    await psql(databaseUrl, `\\copy user_data from '${rowsFile}'`);
    const perSecond = records / (performance.now() - startedMs) * 1_000;
    await servers.drop(databaseUrl);
    return perSecond;
  };

  const sides = [...SIDES, COPY] as const;
  const found = await inTurn(
    sides,
    options.rounds,
    (side) => side === COPY ? copied() : drained(side),
  );
  for (const [side, rounds] of found) print(`${side.padEnd(20)} ${spread(rounds)} rows/s`);
  return {
    figures: SIDES.map((side) => ({
      name: `${shortly(records)} queued drain, ${side}`,
      unit: "×",
      of: "COPY",
      rounds: ratios(found.get(side)!, found.get(COPY)!),
      target: TARGET,
    })),
    raw: [...found].map(([side, rounds]) => ({ side, of: "drain", unit: "rows/s", rounds })),
  };
}

/** Counts from the first rows that came, to the last. */
async function rowsPerSecond(service: Service, records: number): Promise<number> {
  let [left, fromMs, first] = [await service.queued(), 0, records];
  while (left > 0) {
    if (fromMs === 0 && left < records) [fromMs, first] = [performance.now(), left];
    await delay(POLL_MS);
    left = await service.queued();
  }
  return first / (performance.now() - fromMs) * 1_000;
}

async function psql(databaseUrl: string, command: string): Promise<void> {
  await output(await installed(PSQL), [
    "-X",
    "-q",
    "-v",
    "ON_ERROR_STOP=1",
    "-d",
    databaseUrl,
    "-c",
    command,
  ]);
}
