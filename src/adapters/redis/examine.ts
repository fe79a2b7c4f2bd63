/** Looks for `dsproxy doctor` at how the server is set up, and changes nothing there. */
import { ErrorReply } from "@redis/client";
import { withDeadline } from "../../deadline.ts";
import { clockRemark, type Remark } from "../../ports/remark.ts";
import { connectToCheck, type RedisCheckOptions, STEP_LIMIT_MS } from "./check.ts";
import type { RedisClient } from "./handshake.ts";

const PINGS = 20;
/** A read that nothing in the process answers waits for so long, each time. */
const SLOW_MS = 5;

type Info = (field: string) => string | undefined;

/** @throws when it does not answer */
export async function examineRedis(
  options: RedisCheckOptions,
  isLocal: boolean,
): Promise<readonly Remark[]> {
  const { client } = await connectToCheck(options, () => {});
  try {
    return await withDeadline(examine(client, options, isLocal), STEP_LIMIT_MS, "the examination");
  } finally {
    client.destroy();
  }
}

async function examine(
  client: RedisClient,
  { tls, url }: RedisCheckOptions,
  isLocal: boolean,
): Promise<Remark[]> {
  const remarks = [await latency(client), encryption(isLocal, tls || /^rediss:/.test(url ?? ""))];
  const clock = await clockOf(client);
  if (clock !== undefined) remarks.push(clock);
  const text = await allowed(client.sendCommand<string>(["INFO"]));
  if (text === undefined) {
    const advice = "Grant +info to its user: how it is set up cannot be seen without.";
    return [...remarks, { topic: "server", grade: "note", found: "INFO is forbidden", advice }];
  }
  const info: Info = (field) => new RegExp(`^${field}:(.*?)\\r?$`, "m").exec(text)?.[1];
  const valkey = info("valkey_version");
  const name = valkey === undefined ? `Redis ${info("redis_version")}` : `Valkey ${valkey}`;
  return [
    { topic: "server", grade: "ok", found: `${name} answers` },
    ...remarks,
    memory(info),
    persistence(info),
  ];
}

async function latency(client: RedisClient): Promise<Remark> {
  const tookMs: number[] = [];
  for (let i = 0; i < PINGS; i++) {
    const startedMs = performance.now();
    await allowed(client.sendCommand(["PING"]));
    tookMs.push(performance.now() - startedMs);
  }
  tookMs.sort((a, b) => a - b);
  const [median, worst] = [tookMs[PINGS / 2]!, tookMs.at(-1)!];
  const found = `a call takes ${median.toFixed(2)} ms (median of ${PINGS}), ${
    worst.toFixed(2)
  } ms at worst`;
  if (median < SLOW_MS) return { topic: "latency", grade: "ok", found };
  return {
    topic: "latency",
    grade: "risk",
    found,
    advice: "Put it nearer, or find out what keeps it busy: each read that it answers waits so.",
  };
}

async function clockOf(client: RedisClient): Promise<Remark | undefined> {
  const beforeMs = Date.now();
  const time = await allowed(client.sendCommand<string[]>(["TIME"]));
  if (time === undefined) return undefined;
  const [seconds = "0", micros = "0"] = time;
  const theirMs = Number(seconds) * 1_000 + Number(micros) / 1_000;
  return clockRemark(theirMs, { beforeMs, afterMs: Date.now() });
}

function memory(info: Info): Remark {
  const limit = Number(info("maxmemory") ?? 0);
  const policy = info("maxmemory_policy") ?? "unknown";
  const found = `maxmemory-policy is ${policy}, maxmemory ${limit} bytes, ${
    info("used_memory")
  } in use, ${info("evicted_keys") ?? 0} keys evicted so far`;
  const topic = "maxmemory-policy";
  if (limit === 0) {
    return {
      topic,
      grade: "note",
      found: `${found}: it has no limit but its machine`,
      advice: "Set maxmemory, and maxmemory-policy to allkeys-lru.",
    };
  }
  if (policy === "noeviction") {
    return {
      topic,
      grade: "risk",
      found: `${found}: once it is full it takes no update, and reads go to the database`,
      advice: "Set maxmemory-policy to allkeys-lru: what is evicted is read from the database.",
    };
  }
  return { topic, grade: "ok", found };
}

/** The cache needs none of it; but a server that cannot save may refuse writes. */
function persistence(info: Info): Remark {
  const topic = "persistence";
  const aof = info("aof_enabled") === "1";
  const failed = info("rdb_last_bgsave_status") === "err" ||
    (aof && info("aof_last_write_status") === "err");
  const found = `append-only file ${aof ? "on" : "off"}, last snapshot ${
    info("rdb_last_bgsave_status") ?? "unknown"
  }`;
  if (!failed) return { topic, grade: "ok", found };
  return {
    topic,
    grade: "risk",
    found: `${found}: it cannot save, and may refuse all writes`,
    advice: "Give it disk, or turn persistence off: the cache needs none.",
  };
}

function encryption(isLocal: boolean, isEncrypted: boolean): Remark {
  const topic = "tls";
  if (isEncrypted) return { topic, grade: "ok", found: "the connection is encrypted" };
  if (isLocal) return { topic, grade: "ok", found: "unencrypted, on this machine" };
  return {
    topic,
    grade: "risk",
    found: "the connection is not encrypted, and leaves this machine",
    advice: "Use rediss:// in REDIS_URL.",
  };
}

/** Resolves to undefined when the server refuses the call. */
async function allowed<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ErrorReply) return undefined;
    throw error;
  }
}
