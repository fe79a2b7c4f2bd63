/** `deno task soak`: steady load for SOAK_SECONDS (600; 60 in the tests) on one instance, and whether its memory grows. */
import assert from "node:assert/strict";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { once, withDatabase } from "../support/postgres.ts";
import { sharedRedisUrl } from "../support/redis.ts";
import { delay } from "../support/services.ts";

const SECONDS = Number(Deno.env.get("SOAK_SECONDS") ?? 60);
const CLIENTS = 8;
const PAUSE_MS = 8;
const USERS = 2_000;
const SAMPLE_MS = 500;
/** The first part fills caches and buffers up to their limits. */
const WARM_UP_SHARE = 0.4;
/** Over what is left of the run, by the line that fits best. */
const GROWTH_LIMIT = 0.1;
const MIB = 1024 * 1024;

interface Sample {
  readonly atSeconds: number;
  readonly bytes: number;
}

Deno.test(`under steady load for ${SECONDS} s memory does not grow, and no request fails`, () =>
  withDatabase(async (databaseUrl) => {
    const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-soak-" });
    try {
      await using proxy = await Dsproxy.start({
        DATA_DIR: dataDir,
        DATABASE_URL: databaseUrl,
        REDIS_URL: sharedRedisUrl(),
        CACHE_PREFIX: `soak-${crypto.randomUUID()}:`,
        CACHE_TTL: "5s",
        CACHE_LOCAL_MAX: "500",
        BATCH_INTERVAL: "200ms",
      });
      const endMs = performance.now() + SECONDS * 1_000;
      const [samples, ...written] = await Promise.all([
        sampleMemory(proxy, endMs),
        ...Array.from({ length: CLIENTS }, (_, client) => runClient(proxy, client, endMs)),
      ]);
      await eventually("the queue is empty", async () => await proxy.metric("dsproxy_queue_depth") === 0);
      const [row] = await once(databaseUrl, (sql) => sql`select count(*)::int as n from user_data`);
      const count = written.reduce((sum, each) => sum + each, 0);
      assert.equal(row!.n, count);
      const steady = samples.filter(({ atSeconds }) => atSeconds > SECONDS * WARM_UP_SHARE);
      const { bytesPerSecond, mean } = fitLine(steady);
      const growth = bytesPerSecond * SECONDS * (1 - WARM_UP_SHARE) / mean;
      const summary = `${count} writes, ${Math.round(mean / MIB)} MiB resident, ` +
        `slope ${(bytesPerSecond * 60 / MIB).toFixed(2)} MiB a minute, ${(growth * 100).toFixed(1)} % over the run`;
      Deno.stdout.writeSync(new TextEncoder().encode(`soak: ${summary}\n`));
      assert.ok(growth < GROWTH_LIMIT, summary);
      await proxy.stop();
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  }));

/** Writes and reads, known and unknown users, good and bad requests. Returns the number of writes. */
async function runClient(proxy: Dsproxy, client: number, endMs: number): Promise<number> {
  let written = 0;
  for (let i = 0; performance.now() < endMs; i++) {
    const user = `user${(i * CLIENTS + client) % USERS}`;
    await proxy.accept({ user_id: user, value: `${"v".repeat(i % 500)}${i}` });
    written++;
    assert.equal((await proxy.read(user)).status, 200);
    assert.equal((await proxy.read(`nobody${i}`)).status, 404);
    const refused = await proxy.write({ user_id: user, value: i });
    await refused.body?.cancel();
    assert.equal(refused.status, 400);
    await delay(PAUSE_MS);
  }
  return written;
}

async function sampleMemory(proxy: Dsproxy, endMs: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  const startedMs = performance.now();
  while (performance.now() < endMs) {
    const bytes = await proxy.metric("process_resident_memory_bytes");
    samples.push({ atSeconds: (performance.now() - startedMs) / 1_000, bytes });
    await delay(SAMPLE_MS);
  }
  return samples;
}

/** By least squares. */
function fitLine(samples: readonly Sample[]): { bytesPerSecond: number; mean: number } {
  const average = (of: (sample: Sample) => number) => samples.reduce((sum, each) => sum + of(each), 0) / samples.length;
  const [meanTime, mean] = [average(({ atSeconds }) => atSeconds), average(({ bytes }) => bytes)];
  const covariance = average(({ atSeconds, bytes }) => (atSeconds - meanTime) * (bytes - mean));
  const variance = average(({ atSeconds }) => (atSeconds - meanTime) ** 2);
  return { bytesPerSecond: covariance / variance, mean };
}
