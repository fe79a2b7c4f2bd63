/**
 * Latency of durable writes under an open loop, at shares of what each side can do, and while a
 * backlog drains.
 */
import { delay } from "../../tests/support/services.ts";
import { BACKLOG_SETTINGS, copyOf, makeBacklog, shortly, usersOf } from "../backlog.ts";
import { type Latencies, openLoop } from "../load/oha.ts";
import { closedLoop } from "../load/wrk.ts";
import type { Options } from "../options.ts";
import { print } from "../print.ts";
import type { Figure, Findings, RawRounds } from "../figures.ts";
import { inTurn } from "../rounds.ts";
import { type Service, startService } from "../sides/service.ts";
import type { Servers } from "../sides/servers.ts";
import type { Side } from "../sides/side.ts";
import { startFloor } from "../sides/started.ts";
import { median, ratios, spread } from "../statistics.ts";

const CONNECTIONS = 64;
const USERS = 1_000;
const SHARES = [25, 50, 75] as const;
const PERCENTILES = ["p50Ms", "p99Ms", "p999Ms"] as const;
const LABELS = { p50Ms: "p50", p99Ms: "p99", p999Ms: "p99.9" } as const;
/** A side that is asked for more than this share of what it can do is overloaded, not slow. */
const SHARE_MAX = 0.9;
const BEHIND = "PostgreSQL + Redis";
const FLOOR_TARGET = { atMost: 3 };
const DRAINING_TARGET = { atMost: 2 };

/** A side at a rate. */
interface Run {
  readonly side: Side;
  readonly name: string;
  readonly perSecond: number;
}

export async function latency(servers: Servers, options: Options): Promise<Findings> {
  const capacities = await atShares(servers, options);
  const draining = await whileDraining(servers, options, capacities.half);
  return {
    figures: [...capacities.figures, ...draining.figures],
    raw: [...capacities.raw, ...draining.raw],
  };
}

async function atShares(
  servers: Servers,
  options: Options,
): Promise<Findings & { readonly half: number }> {
  const { checkout, rounds, seconds } = options;
  await using floor = await startFloor();
  await using service = await startService(servers, { name: BEHIND, behind: BEHIND, checkout });
  const sides: readonly Side[] = [floor, service];
  const load = { connections: CONNECTIONS, seconds, users: USERS };
  // By the same program as the open loop: it takes more of the machine than wrk does.
  const can = await inTurn(sides, rounds, async (side) => {
    const { perSecond } = await openLoop(side.url, side.requests.write, load);
    await side.settled();
    return perSecond;
  });
  const capacity = (side: Side) => median(can.get(side)!);
  const runs = sides.flatMap((side) =>
    SHARES.map((share): Run => ({
      side,
      name: `${share} %`,
      perSecond: capacity(side) * share / 100,
    }))
  );
  const [floorHalf, serviceHalf] = [capacity(floor) / 2, capacity(service) / 2];
  const same: Run = { side: floor, name: "at the service's 50 %", perSecond: serviceHalf };
  const high: Run = { side: service, name: "at the floor's 50 %", perSecond: floorHalf };
  runs.push(same);
  const bears = floorHalf <= capacity(service) * SHARE_MAX;
  if (bears) runs.push(high);
  else print("half of the floor's capacity is more than the service bears: not compared");

  const found = await inTurn(runs, rounds, async (run) => {
    const latencies = await openLoop(run.side.url, run.side.requests.write, {
      ...load,
      perSecond: run.perSecond,
    });
    await run.side.settled();
    return latencies;
  });
  const raw: RawRounds[] = sides.map((side) => ({
    side: side.name,
    of: "capacity",
    unit: "requests/s",
    rounds: can.get(side)!,
  }));
  raw.push(...[...found].flatMap(([run, all]) => rawOf(`${run.side.name}, ${run.name}`, all)));
  const at = (side: Side, name: string) =>
    found.get(runs.find((run) => run.side === side && run.name === name)!)!;
  const p99 = (latencies: readonly Latencies[]) => latencies.map(({ p99Ms }) => p99Ms);
  const against = (name: string, mine: readonly Latencies[], its: readonly Latencies[]) => ({
    name,
    unit: "×",
    of: "floor",
    rounds: ratios(p99(mine), p99(its)),
    target: FLOOR_TARGET,
  });
  return {
    half: serviceHalf,
    raw,
    figures: [
      against("p99, each at half of what it can do", at(service, "50 %"), at(floor, "50 %")),
      against(
        "p99, both at half of what the service can do",
        at(service, "50 %"),
        at(floor, same.name),
      ),
      ...(bears
        ? [
          against(
            "p99, both at half of what the floor can do",
            at(service, high.name),
            at(floor, "50 %"),
          ),
        ]
        : []),
      ...sides.flatMap((side) =>
        SHARES.flatMap((share) => plotted(side.name, `${share} %`, at(side, `${share} %`)))
      ),
    ],
  };
}

function plotted(side: string, at: string, all: readonly Latencies[]): Figure[] {
  return PERCENTILES.map((key) => ({
    name: `${LABELS[key]} at ${at} of capacity: ${side}`,
    unit: "ms",
    rounds: all.map((latencies) => latencies[key]),
    plot: { chart: "Latency by load", line: `${side} ${LABELS[key]}`, at },
  }));
}

function rawOf(side: string, all: readonly Latencies[]): RawRounds[] {
  return (["perSecond", ...PERCENTILES] as const).map((key) => {
    const rounds = all.map((latencies) => latencies[key]);
    if (key === "p99Ms") print(`${side.padEnd(44)} p99 ${spread(rounds, 2)} ms`);
    return key === "perSecond"
      ? { side, of: "rate held", unit: "requests/s", rounds }
      : { side, of: LABELS[key], unit: "ms", rounds };
  });
}

/**
 * The backlog is there before the database is. First the load comes while it drains, then, in the
 * same process at the same rate, when it has drained.
 */
async function whileDraining(
  servers: Servers,
  options: Options,
  perSecond: number,
): Promise<Findings> {
  const records = options.records[0]!;
  const prepared = `${servers.folder}/backlog`;
  await makeBacklog(prepared, records);
  const load = {
    connections: CONNECTIONS,
    seconds: options.seconds,
    users: usersOf(records),
    perSecond,
  };
  const rounds: { readonly draining: Latencies; readonly own: Latencies }[] = [];
  for (let round = 0; round <= options.rounds; round++) {
    const databaseUrl = await servers.database();
    await servers.postgres.stop();
    const dataDir = await copyOf(prepared, `${servers.folder}/draining${round}`);
    await using service = await startService(servers, {
      name: BEHIND,
      behind: BEHIND,
      checkout: options.checkout,
      settings: BACKLOG_SETTINGS,
      databaseUrl,
      dataDir,
    });
    const { write } = service.requests;
    await closedLoop(service.url, write, { ...load, users: USERS }); // Its code is compiled by now.
    await servers.postgres.start();
    await untilDraining(service);
    const draining = await openLoop(service.url, write, load);
    const left = await service.queued();
    if (left === 0) print(`${shortly(records)} records had drained before the load ended`);
    await service.settled();
    const own = await openLoop(service.url, write, load);
    await service.settled();
    if (round > 0) rounds.push({ draining, own });
    await service.program.end();
    await servers.drop(databaseUrl);
    await Deno.remove(dataDir, { recursive: true });
  }
  const draining = rounds.map(({ draining }) => draining);
  const own = rounds.map(({ own }) => own);
  return {
    figures: [{
      name: `p99 at half load while ${shortly(records)} drain`,
      unit: "×",
      of: "its own",
      rounds: ratios(draining.map(({ p99Ms }) => p99Ms), own.map(({ p99Ms }) => p99Ms)),
      target: DRAINING_TARGET,
    }],
    raw: [...rawOf("while a backlog drains", draining), ...rawOf("drained", own)],
  };
}

const POLL_MS = 50;

async function untilDraining(service: Service): Promise<void> {
  const before = await service.queued();
  while (await service.queued() >= before) await delay(POLL_MS);
}
