/**
 * What a cold read and a durable write cost as `user_data` grows, and a write by how many users
 * there are. All sizes are there at once, and take turns.
 */
import { migrate } from "../../tests/support/postgres_migration.ts";
import { once } from "../../tests/support/postgres.ts";
import { shortly } from "../backlog.ts";
import type { Options } from "../options.ts";
import { print } from "../print.ts";
import type { Figure, Findings, RawRounds } from "../figures.ts";
import { startService } from "../sides/service.ts";
import type { Servers } from "../sides/servers.ts";
import type { Side } from "../sides/side.ts";
import { startDirect } from "../sides/started.ts";
import { ratios, spread } from "../statistics.ts";
import { type Case, type Throughput, throughputs } from "./throughput.ts";

const WRITE_USERS = 1_000;
const USERS = [1, 1_000, 1_000_000] as const;
const COLD_TARGET = { atLeast: 0.9 };
const FILL_ROWS = 1_000_000;

/** A table of one size, and who works with it. */
interface Size {
  readonly rows: number;
  readonly service: Side;
  readonly direct: Side;
}

export async function growth(servers: Servers, options: Options): Promise<Findings> {
  await using stack = new AsyncDisposableStack();
  const sizes: Size[] = [];
  for (const rows of options.rows) {
    const url = await filledDatabase(servers, rows);
    const service = stack.use(
      await startService(servers, {
        name: `this service, ${shortly(rows)} rows`,
        behind: "PostgreSQL",
        checkout: options.checkout,
        databaseUrl: url,
        settings: { CACHE_LOCAL_MAX: "0" },
      }),
    );
    const direct = stack.use(await startDirect(servers, `direct, ${shortly(rows)} rows`, url));
    sizes.push({ rows, service, direct });
  }
  const plain = {
    rounds: options.rounds,
    load: { connections: options.connections[0]!, seconds: options.seconds, users: WRITE_USERS },
    sides: sizes.flatMap(({ service, direct }) => [service, direct]),
  };
  const reads = await found({
    ...plain,
    name: "cold reads",
    settle: false,
    requestOf: (side) => side.requests.read,
    usersOf: (side) =>
      sizes.find(({ service, direct }) => side === service || side === direct)!.rows,
  });
  const writes = await found({
    ...plain,
    name: "durable writes",
    settle: true,
    requestOf: (side) => side.requests.write,
  });
  const users = await byUsers(servers, options);
  return {
    figures: [
      ...bySize("Cold reads", sizes, reads.of),
      ...againstDirect(sizes, reads.of),
      ...bySize("Durable writes", sizes, writes.of),
      ...users.figures,
    ],
    raw: [...reads.raw, ...writes.raw, ...users.raw],
  };
}

async function found(one: Case): Promise<{ of: Map<Side, Throughput>; raw: RawRounds[] }> {
  const of = await throughputs(one);
  const raw = [...of].map(([side, { perSecond }]) => {
    print(`${one.name.padEnd(20)} ${side.name.padEnd(30)} ${spread(perSecond)}/s`);
    return { side: side.name, of: one.name, unit: "requests/s", rounds: perSecond };
  });
  return { of, raw };
}

/** Each against itself with the fewest rows. */
function bySize(chart: string, sizes: readonly Size[], of: Map<Side, Throughput>): Figure[] {
  const base = sizes[0]!;
  return sizes.flatMap((size) =>
    (["service", "direct"] as const).map((who): Figure => {
      const line = who === "service" ? "this service" : "a statement per request";
      return {
        name: `${chart}, ${shortly(size.rows)} rows: ${line}`,
        unit: "×",
        of: `itself with ${shortly(base.rows)} rows`,
        rounds: ratios(of.get(size[who])!.perSecond, of.get(base[who])!.perSecond),
        plot: { chart: `${chart} by rows in user_data`, line, at: shortly(size.rows) },
      };
    })
  );
}

function againstDirect(sizes: readonly Size[], of: Map<Side, Throughput>): Figure[] {
  return sizes.map(({ rows, service, direct }) => ({
    name: `Cold reads, ${shortly(rows)} rows: against a SELECT per request`,
    unit: "×",
    of: "direct",
    rounds: ratios(of.get(service)!.perSecond, of.get(direct)!.perSecond),
    target: COLD_TARGET,
  }));
}

async function byUsers(servers: Servers, options: Options): Promise<Findings> {
  const { checkout, connections, rounds, seconds } = options;
  const behind = "PostgreSQL + Redis";
  await using service = await startService(servers, { name: behind, behind, checkout });
  // One instance in three roles: what it had before is settled before each.
  const roles = USERS.map((users): Side & { readonly users: number } => ({
    name: `${shortly(users)} users`,
    users,
    url: service.url,
    requests: service.requests,
    settled: () => service.settled(),
    [Symbol.asyncDispose]: async () => {},
  }));
  const { of, raw } = await found({
    name: "writes by users",
    rounds,
    settle: true,
    load: { connections: connections[0]!, seconds, users: 1 },
    sides: roles,
    requestOf: (side) => side.requests.write,
    usersOf: (side) => roles.find((role) => role === side)!.users,
  });
  const base = of.get(roles[1]!)!.perSecond;
  const figures = roles.map((role): Figure => ({
    name: `Durable writes of ${role.name}`,
    unit: "×",
    of: roles[1]!.name,
    rounds: ratios(of.get(role)!.perSecond, base),
    plot: {
      chart: "Durable writes by distinct users",
      line: behind,
      at: shortly(role.users),
    },
  }));
  return { figures, raw };
}

/** Returns a database with so many rows, each of another user, on written pages. */
async function filledDatabase(servers: Servers, rows: number): Promise<string> {
  const startedMs = performance.now();
  const url = await servers.database();
  await migrate(url);
  await once(url, async (sql) => {
    const [index] = await sql`
      select indexname, indexdef from pg_indexes where tablename = 'user_data'`;
    // Built at the end it takes a third of the time.
    await sql.unsafe(`drop index ${index!.indexname}`);
    for (let first = 1; first <= rows; first += FILL_ROWS) {
      const last = Math.min(first + FILL_ROWS - 1, rows);
      await sql.unsafe(
        `insert into user_data (user_id, value, ts)
         select 'user' || n, 'value ' || n, 1700000000 from generate_series(${first}, ${last}) n`,
      );
    }
    await sql.unsafe(index!.indexdef);
    await sql.unsafe("vacuum analyze user_data");
    await sql.unsafe("checkpoint");
  });
  const seconds = (performance.now() - startedMs) / 1_000;
  print(`${shortly(rows)} rows are there after ${seconds.toFixed(0)} s`);
  return url;
}
