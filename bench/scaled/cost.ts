/** Measures what a write costs through a broker, and in one process, in the same run. */
import { type EngineName, ENGINES } from "../../tests/scaled/engines.ts";
import { Layout, type Place } from "../../tests/scaled/layout.ts";
import { withDatabase } from "../../tests/support/postgres.ts";
import { OWN_REQUESTS } from "../load/template.ts";
import { closedLoop } from "../load/wrk.ts";
import { ofProcess, ofProcesses, since } from "../load/processor_time.ts";
import { print } from "../print.ts";
import { median, ratios, spread } from "../statistics.ts";

const LOAD = { connections: 64, seconds: 5, users: 10_000 };
const WARM_UP = { ...LOAD, seconds: 1 };

const TIERS = ["API servers", "workers", "database", "broker", "rest"] as const;
type Tier = (typeof TIERS)[number];
/** Programs are known by these names. */
const PROGRAMS: Readonly<Record<string, Tier>> = {
  postgres: "database",
  "beam.smp": "broker",
  java: "broker",
};

export interface Cost {
  readonly perSecond: number;
  /** The whole machine but the client took so many microseconds a write, until all was stored. */
  readonly microseconds: number;
  /** So many of them were taken by each tier. */
  readonly byTier: Readonly<Record<Tier, number>>;
}

interface Costs {
  readonly head: readonly string[];
  /** There is one for each way: the single process first. */
  readonly rows: readonly (readonly (string | number)[])[];
}

export async function measureCost(
  engines: readonly EngineName[],
  rounds: number,
): Promise<Readonly<Record<"ways" | "tiers" | "million", Costs>>> {
  const ways = ["single process", ...engines];
  const costs = new Map<string, Cost[]>(ways.map((way) => [way, []]));
  for (let round = 0; round < rounds; round++) {
    for (const way of ways) {
      const cost = await costOf(way === "single process" ? undefined : way as EngineName, 1);
      costs.get(way)!.push(cost);
      print(`cost: ${way} ${cost.perSecond.toFixed(0)}/s, ${cost.microseconds.toFixed(1)} µs`);
    }
  }
  const base = costs.get("single process")!;
  const ratesOf = ways.map((way) => {
    const all = costs.get(way)!;
    const [rates, times] = [all.map((c) => c.perSecond), all.map((c) => c.microseconds)];
    return [
      way,
      spread(rates),
      spread(ratios(rates, base.map((c) => c.perSecond))),
      spread(times),
      spread(ratios(times, base.map((c) => c.microseconds))),
    ];
  });
  const tiersOf = ways.map((way) => [
    way,
    ...TIERS.map((tier) => spread(costs.get(way)!.map(({ byTier }) => byTier[tier]))),
  ]);
  return {
    ways: {
      head: [
        "way",
        "writes a second",
        "/ single process",
        "processor µs a write",
        "/ single process",
      ],
      rows: ratesOf,
    },
    tiers: { head: ["way", ...TIERS], rows: tiersOf },
    million: {
      head: ["way", ...TIERS],
      rows: ways.map((way) => [
        way,
        ...TIERS.map((tier) =>
          median(costs.get(way)!.map(({ byTier }) => byTier[tier])).toFixed(0)
        ),
      ]),
    },
  };
}

/**
 * @param engine undefined for one process without a broker
 * @param connections to each API server
 */
export function costOf(
  engine: EngineName | undefined,
  servers: number,
  connections = LOAD.connections,
): Promise<Cost> {
  return withDatabase(async (databaseUrl) => {
    await using stack = new AsyncDisposableStack();
    const broker = engine && stack.use(await ENGINES[engine]());
    const settings = { ...broker?.settings, DATABASE_URL: databaseUrl };
    const layout = stack.use(
      await Layout.start({
        servers,
        workers: broker === undefined ? 0 : 1,
        settings: broker === undefined ? { ...settings, QUEUE: "journal" } : settings,
        ...(broker === undefined && { serverRole: "all" }),
      }),
    );
    const loads = (load: typeof LOAD) =>
      Promise.all(
        layout.servers.map(({ url }) =>
          closedLoop(url, OWN_REQUESTS.write, { ...load, connections })
        ),
      );
    await loads(WARM_UP);
    await layout.untilStored(300_000);
    const own = await timesOf(layout);
    const before = await ofProcesses();
    const figures = await loads(LOAD);
    await layout.untilStored(300_000);
    const taken = since(before, await ofProcesses());
    const ownNow = await timesOf(layout);
    const perSecond = figures.reduce((sum, each) => sum + each.perSecond, 0);
    const writes = perSecond * LOAD.seconds;
    const seconds: Record<Tier, number> = {
      "API servers": ownNow.servers - own.servers,
      workers: ownNow.workers - own.workers,
      database: 0,
      broker: 0,
      rest: 0,
    };
    for (const [name, took] of taken) {
      if (name !== "wrk" && name !== "deno") seconds[PROGRAMS[name] ?? "rest"] += took;
    }
    const all = Object.values(seconds).reduce((sum, each) => sum + each, 0);
    const byTier = Object.fromEntries(
      TIERS.map((tier) => [tier, seconds[tier] * 1e6 / writes]),
    ) as Record<Tier, number>;
    return { perSecond, microseconds: all * 1e6 / writes, byTier };
  });
}

async function timesOf({ servers, workers }: Layout) {
  const sumOf = async (places: readonly Place[]) => {
    const times = await Promise.all(places.map(({ process }) => ofProcess(process.process.pid)));
    return times.reduce((sum, seconds) => sum + seconds, 0);
  };
  return { servers: await sumOf(servers), workers: await sumOf(workers) };
}
