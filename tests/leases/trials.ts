/** Everything that is done to leaders, and to who keeps their lease. */
import { createClient } from "@redis/client";
import { redisCommand } from "../support/redis.ts";
import type { RawClient } from "../support/redis_caches.ts";
import { delay } from "../support/services.ts";
import type { FaultProxy } from "../support/fault_proxy.ts";
import { type Electorate, LIFE_MS } from "./electorate.ts";
import type { Trial } from "./trial.ts";

const BOTH = ["Redis", "PostgreSQL"] as const;
const REDIS = ["Redis"] as const;
/** For so long a way is cut: whoever has the lease cannot prolong it meanwhile. */
const CUT_MS = 2.5 * LIFE_MS;
const HOUR_MS = 3_600_000;

/** Nothing gets through; what was sent meanwhile arrives when it is mended, as in real networks. */
async function whileCut(ways: readonly FaultProxy[], work: () => Promise<void>): Promise<void> {
  for (const way of ways) way.weather = "black hole";
  try {
    await work();
  } finally {
    for (const way of ways) way.weather = "pass";
  }
}

export const TRIALS: readonly Trial[] = [
  {
    what: "the leader is stopped past its lease, and goes on",
    how: "SIGSTOP for 1.1 to 2.5 lives, then SIGCONT",
    keepers: BOTH,
    times: { many: 20, few: 1 },
    async once(electorate, random) {
      const leader = await electorate.untilSomebodyLeads();
      leader.signal("SIGSTOP");
      await delay(random.between(1.1, 2.5) * LIFE_MS);
      leader.signal("SIGCONT");
      await electorate.untilSomebodyLeads();
    },
  },
  {
    what: "the leader is killed",
    how: "kill -9, then started anew",
    keepers: BOTH,
    times: { many: 10, few: 1 },
    async once(electorate) {
      const leader = await electorate.untilSomebodyLeads();
      await leader.end("SIGKILL");
      await electorate.untilSomebodyLeads(leader);
      leader.start();
    },
  },
  {
    what: "the leader is stopped in order",
    how: "SIGTERM, then started anew",
    keepers: BOTH,
    times: { many: 10, few: 0 },
    async once(electorate) {
      const leader = await electorate.untilSomebodyLeads();
      await leader.end("SIGTERM");
      await electorate.untilSomebodyLeads(leader);
      leader.start();
    },
  },
  {
    what: "Redis is emptied",
    how: "FLUSHALL, at any moment of a life",
    keepers: REDIS,
    times: { many: 20, few: 1 },
    async once(electorate, random) {
      await electorate.untilSomebodyLeads();
      await redisCommand(electorate.redis!.port, "FLUSHALL");
      await delay(random.between(0, LIFE_MS));
    },
  },
  {
    what: "Redis is killed, and comes back empty",
    how: "kill -9, started anew after up to 2 lives",
    keepers: REDIS,
    times: { many: 10, few: 0 },
    async once(electorate, random) {
      await electorate.untilSomebodyLeads();
      const awayMs = random.between(0, 2) * LIFE_MS;
      await electorate.redis!.kill();
      await delay(awayMs);
      await electorate.redis!.start();
      await electorate.untilSomebodyLeads();
      return awayMs;
    },
  },
  {
    what: "the leader is cut off from Redis",
    how: "for 2.5 lives nothing gets through",
    keepers: REDIS,
    times: { many: 10, few: 0 },
    async once(electorate) {
      const leader = await electorate.untilSomebodyLeads();
      await whileCut([leader.toRedis!], async () => {
        await delay(CUT_MS);
        await electorate.untilSomebodyLeads(leader);
      });
    },
  },
  {
    what: "the leader is cut off from PostgreSQL",
    how: "for 2.5 lives nothing gets through",
    keepers: BOTH,
    times: { many: 10, few: 0 },
    async once(electorate) {
      const leader = await electorate.untilSomebodyLeads();
      await whileCut([leader.toPostgres], async () => {
        await delay(CUT_MS);
        await electorate.untilSomebodyLeads(leader);
      });
    },
  },
  {
    what: "two leaders are cut off, one on each side",
    how: "the first from Redis; the one that follows it from PostgreSQL; mended at once",
    keepers: REDIS,
    times: { many: 10, few: 1 },
    async once(electorate) {
      const first = await electorate.untilSomebodyLeads();
      await whileCut([first.toRedis!], async () => {
        const second = await electorate.untilSomebodyLeads(first);
        await whileCut([second.toPostgres], async () => {
          await delay(CUT_MS);
          await electorate.untilSomebodyLeads(second);
        });
      });
    },
  },
  {
    what: "the clock of who keeps the lease is set back",
    how:
      "by an hour, and its leader is killed: in PostgreSQL by another clock_timestamp(), in Redis " +
      "the key is made what it would be",
    keepers: BOTH,
    times: { many: 10, few: 1 },
    async once(electorate) {
      const leader = await electorate.untilSomebodyLeads();
      leader.signal("SIGSTOP");
      await setBack(electorate);
      await leader.end("SIGKILL");
      await electorate.untilSomebodyLeads(leader);
      leader.start();
    },
  },
  {
    what: "the clock of the leader is set",
    how: "an hour back, and forward again",
    keepers: BOTH,
    times: { many: 10, few: 0 },
    async once(electorate) {
      const leader = await electorate.untilSomebodyLeads();
      for (let i = 0; i < 2; i++) {
        leader.signal("SIGUSR1");
        await delay(LIFE_MS);
        await electorate.untilSomebodyLeads();
      }
    },
  },
];

/** Sets the clock back by an hour, or makes the lease what it is to a clock that was. */
async function setBack(electorate: Electorate): Promise<void> {
  if (electorate.redis === undefined) {
    return await electorate.execute(
      "update trial_clock set behind = behind + interval '1 hour'",
    );
  }
  await withClient(electorate.redis.url, async (client) => {
    const [key] = await client.keys("*");
    const [since, renewed, holder] = (await client.get(key!))!.split(" ");
    const value = `${since} ${Number(renewed) + HOUR_MS} ${holder}`;
    await client.set(key!, value, { PX: HOUR_MS + LIFE_MS });
  });
}

async function withClient(url: string, work: (client: RawClient) => Promise<void>): Promise<void> {
  const client = createClient({ url }) as RawClient;
  await client.connect();
  try {
    await work(client);
  } finally {
    client.destroy();
  }
}
