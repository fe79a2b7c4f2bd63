/**
 * Two instances on one Redis of many kinds, and what happens to it; each reads what the other one
 * writes.
 */
import { signedCertificate } from "../support/certificate.ts";
import { type Environment, eventually } from "../support/dsproxy.ts";
import { withDatabase } from "../support/postgres.ts";
import {
  redisCommand,
  type RedisServer,
  type RedisServerOptions,
  startRedis,
} from "../support/redis.ts";
import { delay, freePort } from "../support/services.ts";
import { type Counts, live, type Scene, type Surrounding } from "./surrounding.ts";

const IN_USE_LIMIT_MS = 10_000;

type Happen = (redis: RedisServer, scene: Scene) => Promise<void>;

const calm: Happen = () => delay(500);

/** @param settings further ones of the service, given the server's port */
function onRedis(
  options: RedisServerOptions,
  happen: Happen = calm,
  settings: (port: number) => Environment = (port) => ({ REDIS_URL: `redis://127.0.0.1:${port}` }),
  secondOnlyReads = false,
): Surrounding["run"] {
  return (rounds, random) =>
    withDatabase(async (databaseUrl) => {
      await using redis = await startRedis(options);
      const place = {
        databaseUrl,
        settings: { DATABASE_URL: databaseUrl, ...settings(redis.port) },
        instances: 2,
        secondOnlyReads,
        happen: async (scene: Scene) => {
          await happen(redis, scene);
          const count = await readsOnceInUse(scene);
          scene.note = `${count} reads answered by Redis`;
        },
      };
      return await live(place, rounds, random);
    });
}

/** @throws Error when it has answered none by the limit: a busy machine loads the driver slowly */
async function readsOnceInUse(scene: Scene): Promise<number> {
  await eventually(
    "a read is answered by Redis",
    async () => await readsFromRedis(scene) > 0,
    IN_USE_LIMIT_MS,
  ).catch((cause) => {
    throw new Error(`${cause.message}; the log: ${scene.proxies[0]!.log.slice(-2_000)}`, { cause });
  });
  return await readsFromRedis(scene);
}

async function readsFromRedis({ proxies }: Scene): Promise<number> {
  const texts = await Promise.all(
    proxies.map(async ({ url }) => await (await fetch(`${url}/metrics`)).text()),
  );
  const counts = texts.map((text) =>
    Number(/^dsproxy_reads_total\{source="redis"\} (\d+)/m.exec(text)?.[1] ?? 0)
  );
  return counts.reduce((a, b) => a + b);
}

/** As what the text says, in one user's rights; the default user has none. */
function withRights(rights: string): RedisServerOptions {
  return { config: ["user default off", `user app on >secret ${rights}`] };
}
const asUser = (settings: Environment = {}) => (port: number): Environment => ({
  REDIS_URL: `redis://app:secret@127.0.0.1:${port}`,
  ...settings,
});

/**
 * Redis answers reads and refuses writes for a while. The second instance only reads: were it to
 * write too, it would notice by itself, and stop believing Redis.
 */
function refusing(command: string, undo: string): Surrounding["run"] {
  const happen: Happen = async ({ port }) => {
    await delay(1_500);
    await sure(port, command);
    await delay(4_000);
    await sure(port, undo);
  };
  return onRedis({}, happen, undefined, true);
}

async function sure(port: number, command: string): Promise<void> {
  const answer = await redisCommand(port, command);
  if (answer.startsWith("-")) throw new Error(`Redis answers ${answer.trim()} to ${command}`);
}

/** Two deployments, each with a database and an instance of its own, and the same users. */
const twoDeployments: Surrounding["run"] = async (rounds, random) => {
  await using redis = await startRedis();
  const deployment = (mark: string) =>
    withDatabase((databaseUrl) =>
      live(
        {
          databaseUrl,
          settings: { DATABASE_URL: databaseUrl, REDIS_URL: redis.url, CACHE_LOCAL_MAX: "0" },
          load: { mark },
          happen: () => delay(1_000),
        },
        rounds,
        random,
      )
    );
  return merged(await Promise.all([deployment("one"), deployment("other")]));
};

function merged([one, other]: readonly [Counts, Counts] | Counts[]): Counts {
  const lists = (["lost", "doubled", "wrong", "absent", "unexpected", "stale"] as const).map((
    kind,
  ) => [kind, [...one![kind], ...other![kind]]] as const);
  const sums = (["acknowledged", "reads", "refused", "dead"] as const).map((kind) =>
    [kind, one![kind] + other![kind]] as const
  );
  return { ...one!, ...Object.fromEntries(lists), ...Object.fromEntries(sums) };
}

const withoutRedis: Surrounding["run"] = (rounds, random) =>
  withDatabase((databaseUrl) =>
    live(
      {
        databaseUrl,
        settings: { DATABASE_URL: databaseUrl },
        instances: 2,
        happen: () => delay(500),
      },
      rounds,
      random,
    )
  );

const overTls: Surrounding["run"] = async (rounds, random) => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-tls-" });
  try {
    const [authority, cert, key] = await signedCertificate(folder);
    const tlsPort = freePort();
    const config = [`tls-port ${tlsPort}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`];
    const settings = { REDIS_URL: `rediss://127.0.0.1:${tlsPort}`, DENO_CERT: authority };
    return await onRedis({ config: [...config, "tls-auth-clients no"] }, calm, () => settings)(
      rounds,
      random,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
};

const rounds = { few: 1, many: 4 };

export const REDIS: readonly Surrounding[] = [
  { name: "Redis 7", how: "two instances", rounds, run: onRedis({}) },
  { name: "Redis 6", how: "two instances", rounds, run: onRedis({ version: "6" }) },
  { name: "Valkey", how: "two instances", rounds, run: onRedis({ version: "valkey" }) },
  {
    name: "a Redis user with a prefix",
    how: "`~app:*`, and `CACHE_PREFIX=app:`",
    rounds,
    run: onRedis(withRights("~app:* &* +@all -@admin"), calm, asUser({ CACHE_PREFIX: "app:" })),
  },
  {
    name: "a Redis user without `TIME`",
    how: "`+@all -time`",
    rounds,
    run: onRedis(withRights("~* &* +@all -time"), calm, asUser()),
  },
  {
    name: "a Redis user without `CLIENT TRACKING`",
    how: "`+@all -client|tracking`",
    rounds,
    run: onRedis(withRights("~* &* +@all -client|tracking"), calm, asUser()),
  },
  {
    name: "Redis with TLS",
    how: "`rediss://`, its authority's certificate in `DENO_CERT`",
    rounds,
    run: overTls,
  },
  {
    name: "Redis is full",
    how: "`maxmemory 1`, `noeviction`, for 4 s",
    rounds,
    run: refusing("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
  },
  {
    name: "Redis without replicas",
    how: "`min-replicas-to-write 1` (NOREPLICAS), for 4 s",
    rounds,
    run: refusing("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
  },
  {
    name: "Redis is a read-only replica",
    how: "`replicaof` a server that is away, for 4 s (READONLY)",
    rounds,
    run: refusing("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
  },
  {
    name: "two deployments on one Redis",
    how: "two databases, the same users, no prefix",
    rounds,
    run: twoDeployments,
  },
  {
    name: "several instances without Redis",
    how: "two instances, one PostgreSQL; each has a cache of its own",
    rounds,
    run: withoutRedis,
  },
];
