/**
 * Writes a second, by what is behind the service and by level of acknowledgement, against the floor
 * and an INSERT per request.
 */
import { BROWSER_HEADERS } from "../load/template.ts";
import type { Options } from "../options.ts";
import type { Figure, Findings, RawRounds } from "../figures.ts";
import { BEHIND, startService } from "../sides/service.ts";
import type { Servers } from "../sides/servers.ts";
import type { Side } from "../sides/side.ts";
import { otherSide, startDirect, startFloor } from "../sides/started.ts";
import { ratios } from "../statistics.ts";
import { type Case, compare, withQuery } from "./throughput.ts";

const USERS = 1_000;

/** Of the floor, by name of the side and connections. */
const DURABLE_TARGETS: Readonly<Record<string, readonly [at64: number, at256: number]>> = {
  "embedded": [0.5, 0.6],
  "PostgreSQL": [0.5, 0.6],
  "PostgreSQL + Redis": [0.45, 0.55],
};
const ACCEPTED_TARGET = 0.65;
const DIRECT_TARGET = 2.5;

export async function writes(servers: Servers, options: Options): Promise<Findings> {
  const { checkout, connections, others, rounds, seconds } = options;
  await using stack = new AsyncDisposableStack();
  const keep = async <S extends Side>(side: Promise<S>) => stack.use(await side);
  const floor = await keep(startFloor());
  const direct = await keep(startDirect(servers));
  const services: Side[] = [];
  for (const behind of BEHIND) {
    services.push(await keep(startService(servers, { name: behind, behind, checkout })));
  }
  const further: Side[] = [];
  for (const other of others) further.push(await keep(otherSide(other)));

  const cases = connections.flatMap((count): Case[] => {
    const load = { connections: count, seconds, users: USERS };
    const plain = { rounds, load, settle: true, requestOf: (side: Side) => side.requests.write };
    const level = (ack: string) => ({
      ...plain,
      name: `${ack}, ${count} connections`,
      sides: [floor, ...services],
      requestOf: (side: Side) => withQuery(side.requests.write, `?ack=${ack}`),
    });
    return [
      {
        ...plain,
        name: `durable, ${count} connections`,
        sides: [floor, direct, ...services, ...further],
        target: ({ name }) => targetOf(DURABLE_TARGETS[name]?.[count === 64 ? 0 : 1], count),
      },
      { ...level("accepted"), target: () => targetOf(ACCEPTED_TARGET, count) },
      level("flushed"),
    ];
  });
  const load = { connections: connections[0]!, seconds, users: USERS };
  cases.push({
    name: `durable, ${load.connections} connections, headers of a browser`,
    rounds,
    load: { ...load, headers: BROWSER_HEADERS },
    sides: [floor, ...services, ...further],
    settle: true,
    requestOf: (side) => side.requests.write,
  });

  const figures: Figure[] = [];
  const raw: RawRounds[] = [];
  for (const one of cases) {
    const found = await compare(one);
    figures.push(...found.figures);
    raw.push(...found.raw);
    const inserts = found.of.get(direct);
    if (inserts === undefined) continue;
    const side = services.at(-1)!;
    figures.push({
      name: `${one.name}: ${side.name} against an INSERT per request`,
      unit: "×",
      of: direct.name,
      rounds: ratios(found.of.get(side)!.perSecond, inserts.perSecond),
      target: { atLeast: DIRECT_TARGET },
    });
  }
  return { figures, raw };
}

/** The targets are for 64 and 256 connections. */
function targetOf(atLeast: number | undefined, connections: number) {
  return atLeast === undefined || ![64, 256].includes(connections) ? undefined : { atLeast };
}
