/**
 * Reads a second of each tier, against the floor and a SELECT per request. Each tier is one that
 * the configuration forces: what the service says in `Dsproxy-Source` is checked before and after.
 */
import { migrate } from "../../tests/support/postgres_migration.ts";
import { once } from "../../tests/support/postgres.ts";
import { writeEveryUser } from "../load/every_user.ts";
import { BROWSER_HEADERS } from "../load/template.ts";
import type { Options } from "../options.ts";
import type { Figure, Findings, RawRounds, Target } from "../figures.ts";
import { type Service, type ServiceOptions, startService } from "../sides/service.ts";
import type { Servers } from "../sides/servers.ts";
import type { Side } from "../sides/side.ts";
import { otherSide, startDirect, startFloor } from "../sides/started.ts";
import { type Case, compare } from "./throughput.ts";

const USERS = 1_000;
/** So many that two connections seldom ask for the same one, whose look-up they would share. */
const COLD_USERS = 100_000;

interface Tier extends Omit<ServiceOptions, "checkout" | "name"> {
  readonly source: string;
  readonly target?: Target;
}

const TIERS: readonly Tier[] = [
  { source: "local", behind: "PostgreSQL + Redis", target: { atLeast: 0.85 } },
  {
    source: "pending",
    behind: "PostgreSQL + Redis",
    // Nothing is flushed while the run lasts.
    settings: { BATCH_SIZE: "5000", BATCH_INTERVAL: "1h" },
  },
  {
    source: "redis",
    behind: "PostgreSQL + Redis",
    settings: { CACHE_LOCAL_MAX: "0" },
    target: { atLeast: 0.5 },
  },
  { source: "store", behind: "PostgreSQL", settings: { CACHE_LOCAL_MAX: "0" } },
];
const COLD_TARGET = { atLeast: 0.9 };

export async function reads(servers: Servers, options: Options): Promise<Findings> {
  const { checkout, connections, others, rounds, seconds } = options;
  await using stack = new AsyncDisposableStack();
  const databaseUrl = await coldRows(servers);
  const floor = stack.use(await startFloor());
  const direct = stack.use(await startDirect(servers, "direct", databaseUrl));
  const tiers = new Map<Service, Tier>();
  for (const tier of TIERS) {
    const cold = tier.source === "store";
    const side = stack.use(
      await startService(servers, {
        ...tier,
        checkout,
        name: tier.source,
        ...(cold ? { databaseUrl } : {}),
      }),
    );
    tiers.set(side, tier);
    if (!cold) await writeEveryUser(side, USERS);
    if (tier.source !== "pending") await side.settled();
  }
  const further: Side[] = [];
  for (const other of others) {
    const side = stack.use(await otherSide(other));
    await writeEveryUser(side, USERS);
    further.push(side);
  }

  const figures: Figure[] = [];
  const raw: RawRounds[] = [];
  const services = [...tiers.keys()];
  const hot = services.filter((side) => side.name !== "store");
  const cold = services.filter((side) => side.name === "store");
  const plain = { rounds, settle: false, requestOf: (side: Side) => side.requests.read };
  for (const count of connections) {
    const load = { connections: count, seconds, users: USERS };
    const warm: Case = {
      ...plain,
      name: `${count} connections`,
      load,
      sides: [floor, ...hot, ...further],
      target: (side) => tiers.get(side as Service)?.target,
    };
    const rows: Case = {
      ...plain,
      name: `cold, ${count} connections`,
      load: { ...load, users: COLD_USERS },
      sides: [direct, ...cold],
      target: () => COLD_TARGET,
    };
    for (const one of [warm, rows]) {
      const found = await compare(one);
      figures.push(...found.figures);
      raw.push(...found.raw);
    }
  }
  const found = await compare({
    ...plain,
    name: `${connections[0]} connections, headers of a browser`,
    load: { connections: connections[0]!, seconds, users: USERS, headers: BROWSER_HEADERS },
    sides: [floor, ...hot.slice(0, 1), ...further],
  });
  figures.push(...found.figures);
  raw.push(...found.raw);
  for (const side of services) await expectSource(side);
  return { figures, raw };
}

/** Returns a database with one row for each user, which nobody has read yet. */
async function coldRows(servers: Servers): Promise<string> {
  const url = await servers.database();
  await migrate(url);
  await once(url, async (sql) => {
    await sql.unsafe(
      `insert into user_data (user_id, value, ts)
       select 'user' || n, 'value ' || n, 1700000000 from generate_series(1, ${COLD_USERS}) n`,
    );
    await sql.unsafe("vacuum analyze user_data");
  });
  return url;
}

/** @throws Error when the tier answers from elsewhere than its name says */
async function expectSource(side: Service): Promise<void> {
  const response = await fetch(`${side.url}/read?user_id=user7`);
  await response.body?.cancel();
  const source = response.headers.get("dsproxy-source");
  if (source === side.name) return;
  throw new Error(`A read meant for ${side.name} was answered by ${source}`);
}
