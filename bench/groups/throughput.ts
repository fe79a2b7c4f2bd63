/** Compares sides by requests a second in a closed loop, case by case. */
import { type ClosedLoop, closedLoop } from "../load/wrk.ts";
import type { OneRequest } from "../load/template.ts";
import { print } from "../print.ts";
import type { Figure, RawRounds, Target } from "../figures.ts";
import { inTurn } from "../rounds.ts";
import type { Side } from "../sides/side.ts";
import { ratios, spread } from "../statistics.ts";

export interface Case {
  readonly name: string;
  readonly rounds: number;
  readonly load: ClosedLoop;
  /** Where not all have as many as `load` says. */
  readonly usersOf?: (side: Side) => number;
  /** The first is what the others are compared with. */
  readonly sides: readonly Side[];
  /** Each side is waited for until it has done what it accepted. */
  readonly settle: boolean;
  readonly requestOf: (side: Side) => OneRequest;
  readonly target?: (side: Side) => Target | undefined;
}

/** A drain shorter than this says nothing. */
const DRAIN_SECONDS_MIN = 0.2;

export interface Throughput {
  readonly perSecond: readonly number[];
  readonly drainSeconds: readonly number[];
}

/** Returns requests a second of each side. Each is settled before the next has its turn. */
export async function throughputs(
  { rounds, load, usersOf = () => load.users, settle, sides, requestOf }: Case,
): Promise<Map<Side, Throughput>> {
  const measured = await inTurn(sides, rounds, async (side) => {
    const { perSecond } = await closedLoop(side.url, requestOf(side), {
      ...load,
      users: usersOf(side),
    });
    const loadedMs = performance.now();
    if (settle) await side.settled();
    return { perSecond, drainSeconds: (performance.now() - loadedMs) / 1_000 };
  });
  return new Map(
    [...measured].map(([side, all]) => [side, {
      perSecond: all.map(({ perSecond }) => perSecond),
      drainSeconds: all.map(({ drainSeconds }) => drainSeconds),
    }]),
  );
}

/** Returns a ratio for each side but the first, and what all of them did. */
export async function compare(
  one: Case,
): Promise<{ figures: Figure[]; raw: RawRounds[]; of: Map<Side, Throughput> }> {
  const of = await throughputs(one);
  const base = one.sides[0]!;
  const figures: Figure[] = [];
  const raw: RawRounds[] = [];
  for (const [side, { perSecond, drainSeconds }] of of) {
    raw.push({ side: side.name, of: one.name, unit: "requests/s", rounds: perSecond });
    if (Math.max(...drainSeconds) > DRAIN_SECONDS_MIN) {
      raw.push({ side: side.name, of: `${one.name}: drained`, unit: "s", rounds: drainSeconds });
    }
    print(`${one.name.padEnd(34)} ${side.name.padEnd(30)} ${spread(perSecond)}/s`);
    if (side === base) continue;
    const target = one.target?.(side);
    figures.push({
      name: `${one.name}: ${side.name}`,
      unit: "×",
      of: base.name,
      rounds: ratios(perSecond, of.get(base)!.perSecond),
      ...(target === undefined ? {} : { target }),
    });
    print(`${"".padEnd(65)} ${spread(figures.at(-1)!.rounds, 2)} × ${base.name}`);
  }
  return { figures, raw, of };
}

export function withQuery(request: OneRequest, query: string): OneRequest {
  return { ...request, path: request.path + query };
}
