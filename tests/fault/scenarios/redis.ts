/**
 * Faults of Redis and of the way to it. Reads must go on, and never return what is older than a
 * promise.
 */
import { FaultProxy } from "../../support/fault_proxy.ts";
import { withDatabase } from "../../support/postgres.ts";
import type { Random } from "../../support/random.ts";
import { redisCommand, type RedisServer, startRedis } from "../../support/redis.ts";
import { delay } from "../../support/services.ts";
import { type Scenario, tryFault } from "../scenario.ts";

interface Way {
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly network: FaultProxy;
  readonly random: Random;
}

function scenario(
  fault: string,
  how: string,
  rounds: Scenario["rounds"],
  inject: (way: Way, round: number) => Promise<void>,
): Scenario {
  const run = (count: number, random: Random) =>
    withDatabase(async (databaseUrl) => {
      await using primary = await startRedis();
      await using replica = await startRedis();
      await using network = FaultProxy.to(primary.port);
      return await tryFault(
        {
          databaseUrl,
          settings: { DATABASE_URL: databaseUrl, REDIS_URL: network.urlOf(primary.url) },
          inject: (_proxy, round) => inject({ primary, replica, network, random }, round),
        },
        count,
        random,
      );
    });
  return { fault, how, rounds, run };
}

export const REDIS: readonly Scenario[] = [
  scenario(
    "Redis is killed",
    "`kill -9`, started again empty up to 1 s later",
    { few: 3, many: 20 },
    async ({ primary, random }) => {
      await primary.kill();
      await delay(random.between(0, 1_000));
      await primary.start();
    },
  ),
  scenario(
    "Redis is frozen",
    "SIGSTOP for up to 3 s; then it executes what was sent meanwhile",
    { few: 3, many: 20 },
    async ({ primary, random }) => {
      await primary.pause();
      await delay(random.between(100, 3_000));
      await primary.resume();
    },
  ),
  scenario(
    "the way to Redis is a black hole",
    "a TCP proxy swallows everything for up to 3 s, then breaks the connections",
    { few: 2, many: 20 },
    async ({ network, random }) => {
      network.weather = "black hole";
      await delay(random.between(100, 3_000));
      network.weather = "pass";
      network.cut();
    },
  ),
  scenario(
    "Redis is flushed",
    "FLUSHALL at a random moment",
    { few: 10, many: 100 },
    async ({ primary }) => {
      await redisCommand(primary.port, "FLUSHALL");
    },
  ),
  scenario(
    "Redis fails over to a replica that is behind",
    "the replica stops replicating 200 ms before it takes the primary's place",
    { few: 2, many: 15 },
    async ({ primary, replica, network }, round) => {
      const [old, next] = round % 2 === 0 ? [primary, replica] : [replica, primary];
      await redisCommand(next.port, `REPLICAOF 127.0.0.1 ${old.port}`);
      while (
        !(await redisCommand(next.port, "INFO replication")).includes("master_link_status:up")
      ) await delay(20);
      await delay(100);
      await redisCommand(next.port, "REPLICAOF NO ONE");
      await delay(200);
      network.targetPort = next.port;
      network.cut();
    },
  ),
];
