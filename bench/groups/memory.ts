/**
 * Resident memory: idle, with backlogs that were recovered, and with one that came by load. Where
 * something is queued the database is away, so that nothing is delivered meanwhile.
 */
import { delay } from "../../tests/support/services.ts";
import { BACKLOG_SETTINGS, copyOf, makeBacklog, shortly, usersOf } from "../backlog.ts";
import { closedLoop } from "../load/wrk.ts";
import type { Options } from "../options.ts";
import { print } from "../print.ts";
import type { Figure, Findings, Target } from "../figures.ts";
import { inTurn } from "../rounds.ts";
import { awayFrom, type Service, startService } from "../sides/service.ts";
import type { Servers } from "../sides/servers.ts";
import { startFloor } from "../sides/started.ts";
import { spread } from "../statistics.ts";

/** In MiB, from promises in megabytes. */
const TARGETS: Readonly<Record<number, Target>> = {
  0: { atMost: 115e6 / 2 ** 20 },
  1_000_000: { atMost: 200e6 / 2 ** 20 },
  10_000_000: { atMost: 400e6 / 2 ** 20 },
};
/**
 * What starts has become calm by then, and V8 has given back the garbage of the start: after a
 * second of rest, which is what the tasks ask for, it takes some seven more, and at times fifteen.
 */
const CALM_MS = 25_000;
const LOAD_CONNECTIONS = 64;

interface Memory {
  readonly residentMiB: number;
  readonly mostMiB: number;
}

export async function memory(servers: Servers, options: Options): Promise<Findings> {
  const sizes = [0, ...options.records];
  for (const records of sizes) await makeBacklog(`${servers.folder}/backlog${records}`, records);
  const away = awayFrom(servers.postgres.url);
  const present = await servers.database();
  let copies = 0;
  const started = async (records: number, databaseUrl: string) =>
    await startService(servers, {
      name: shortly(records),
      behind: "PostgreSQL + Redis",
      checkout: options.checkout,
      settings: BACKLOG_SETTINGS,
      databaseUrl,
      dataDir: await copyOf(
        `${servers.folder}/backlog${records}`,
        `${servers.folder}/m${++copies}`,
      ),
    });

  const recovered = async (records: number): Promise<Memory> => {
    await using service = await started(records, records === 0 ? present : away);
    await service.ready();
    const found = await memoryOf(service);
    await service.program.end("SIGKILL");
    return found;
  };
  const loaded = async (records: number): Promise<Memory> => {
    await using service = await started(0, away);
    const load = { connections: LOAD_CONNECTIONS, seconds: 1, users: usersOf(records) };
    while (await service.queued() < records) {
      await closedLoop(service.url, service.requests.write, load);
    }
    const found = await memoryOf(service);
    await service.program.end("SIGKILL");
    return found;
  };
  const floor = async (): Promise<Memory> => {
    await using side = await startFloor();
    await delay(CALM_MS);
    return { residentMiB: await side.program.residentMiB(), mostMiB: NaN };
  };

  const least = options.records[0]!;
  const cases = [
    { name: "bare Deno.serve", measure: floor, target: undefined },
    ...sizes.map((records) => ({
      name: records === 0 ? "idle" : `${shortly(records)} queued, recovered`,
      measure: () => recovered(records),
      target: TARGETS[records],
    })),
    {
      name: `${shortly(least)} queued, by load`,
      measure: () => loaded(least),
      target: TARGETS[least],
    },
  ];
  const found = await inTurn(cases, options.rounds, ({ measure }) => measure());
  const figures = [...found].flatMap(([{ name, target }, all]): Figure[] => [
    {
      name,
      unit: "MiB",
      rounds: all.map(({ residentMiB }) => residentMiB),
      ...(target === undefined ? {} : { target }),
    },
    ...(/queued/.test(name)
      ? [{ name: `${name}: most so far`, unit: "MiB", rounds: all.map(({ mostMiB }) => mostMiB) }]
      : []),
  ]);
  for (const { name, rounds } of figures) print(`${name.padEnd(36)} ${spread(rounds)} MiB`);
  return { figures, raw: [] };
}

async function memoryOf({ program }: Service): Promise<Memory> {
  await delay(CALM_MS);
  return {
    residentMiB: await program.residentMiB(),
    mostMiB: await program.residentMiB("VmHWM"),
  };
}
