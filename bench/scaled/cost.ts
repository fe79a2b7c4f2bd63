/** Measures what a write costs through a broker, and in one process, in the same run. */
import { type EngineName, ENGINES } from "../../tests/scaled/engines.ts";
import { Layout } from "../../tests/scaled/layout.ts";
import { withDatabase } from "../../tests/support/postgres.ts";
import { OWN_REQUESTS } from "../load/template.ts";
import { closedLoop } from "../load/wrk.ts";
import { ofProcesses, since } from "../load/processor_time.ts";
import { print } from "../print.ts";
import { ratios, spread } from "../statistics.ts";

const LOAD = { connections: 64, seconds: 5, users: 10_000 };
const WARM_UP = { ...LOAD, seconds: 1 };

export interface Cost {
  readonly perSecond: number;
  /** The whole machine but the client took so many microseconds a write, until all was stored. */
  readonly microseconds: number;
  /** So many of them were taken by programs of this name. */
  readonly byName: ReadonlyMap<string, number>;
}

/** @returns a row for each way: the single process first */
export async function measureCost(
  engines: readonly EngineName[],
  rounds: number,
): Promise<readonly (readonly (string | number)[])[]> {
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
  return ways.map((way) => {
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
}

/** @param engine undefined for one process without a broker */
export function costOf(engine: EngineName | undefined, servers: number): Promise<Cost> {
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
      Promise.all(layout.servers.map(({ url }) =>
        closedLoop(url, OWN_REQUESTS.write, {
          ...load,
          connections: Math.floor(load.connections / servers),
        })
      ));
    await loads(WARM_UP);
    await layout.untilStored(300_000);
    const before = await ofProcesses();
    const figures = await loads(LOAD);
    await layout.untilStored(300_000);
    const taken = since(before, await ofProcesses());
    const perSecond = figures.reduce((sum, each) => sum + each.perSecond, 0);
    const writes = perSecond * LOAD.seconds;
    const byName = new Map(
      [...taken].filter(([name]) => name !== "wrk").map(([name, seconds]) =>
        [name, seconds * 1e6 / writes] as const
      ),
    );
    const microseconds = [...byName.values()].reduce((sum, each) => sum + each, 0);
    return { perSecond, microseconds, byName };
  });
}
