/**
 * Tries on Redis, for `--check-config`, all that the service will do, on two keys of its own that
 * go away again.
 */
import { ErrorReply } from "@redis/client";
import { withDeadline } from "../../deadline.ts";
import { reasonOf } from "../../errors.ts";
import {
  type Features,
  openClient,
  type RedisAddress,
  type RedisClient,
  targetOf,
  withoutRefused,
} from "./handshake.ts";
import { decode, encodeVersion, KeyLayout } from "./keys.ts";
import { Peer } from "./peer.ts";
import { explain, NO_TRACKING } from "./refusals.ts";
import { evaluate, FORGET, OFFER, refusalsOf } from "./scripts.ts";

export interface RedisCheckOptions extends RedisAddress {
  readonly prefix: string;
  /** It says whether copies in this process are wanted, for which Redis must track what is read. */
  readonly tracking: boolean;
}

interface RedisFindings {
  /** Each keeps the cache from being one. */
  readonly problems: readonly string[];
  /** These will be done without, or may become a problem. */
  readonly notes: readonly string[];
}

/** It is as long as the service waits for a connection (connection.ts). */
export const STEP_LIMIT_MS = 3000;
/** The keys go away by themselves after it, should the check be ended before it deletes them. */
const PROBE_TTL_MS = "10000";
const EPOCH = "check";

/** Tries all of it, and never rejects: what goes wrong is a problem that it found. */
export async function checkRedis(options: RedisCheckOptions): Promise<RedisFindings> {
  const target = targetOf(options);
  const server = `Redis at ${target.label}`;
  const problems = new Set<string>();
  const notes = new Set<string>();
  try {
    const { client, peer } = await connectToCheck(
      options,
      (note) => notes.add(`${server} ${note}`),
    );
    try {
      for (const refusal of await tryAll(client, peer, options.prefix)) {
        problems.add(`${server}: ${explain(refusal)}`);
      }
      const risk = await memoryRisk(client);
      if (risk) notes.add(`${server} ${risk}`);
    } finally {
      client.destroy();
    }
  } catch (error) {
    problems.add(`${server}: ${explain(reasonOf(error))}`);
  }
  return { problems: [...problems], notes: [...notes] };
}

/** @throws when it does not answer, or can never be the cache */
export async function connectToCheck(
  options: RedisCheckOptions,
  onNote: (note: string) => void,
) {
  const target = targetOf(options);
  let features: Features | undefined = { tracking: options.tracking, protocol: 3 };
  for (;;) {
    const { tracking } = features;
    const client: RedisClient = openClient(target, features);
    client.on("error", () => {}); // The broken call tells of it.
    const peer = new Peer(client, onNote);
    const greeted = client.connect().then(() => peer.greet(target.database, tracking));
    try {
      await withDeadline(greeted, STEP_LIMIT_MS, "the handshake");
      return { client, peer };
    } catch (error) {
      client.destroy();
      greeted.then(() => client.destroy(), () => {});
      const less = withoutRefused(features, error);
      if (less === undefined) throw error;
      if (tracking) onNote(`${NO_TRACKING}: ${explain(reasonOf(error))}`);
      features = less;
    }
  }
}

/** Returns what the server said when it refused something; it is empty when all went well. */
async function tryAll(client: RedisClient, peer: Peer, prefix: string): Promise<string[]> {
  const layout = new KeyLayout(prefix);
  // No user has a NUL in the name.
  const probe = {
    userId: `\0check-${crypto.randomUUID()}`,
    value: "x",
    ts: 1,
    acceptedMs: 1,
    run: "",
    seq: 0,
  };
  const keys = [layout.ofValue(probe.userId), layout.ofVersion(probe.userId)] as const;
  const refusals = await tryEach(client, keys);
  if (refusals.length > 0) return refusals;
  const notAfterMs = String(peer.nowMs + STEP_LIMIT_MS);
  const args = ["1", PROBE_TTL_MS, EPOCH, notAfterMs, probe.value, encodeVersion(probe)];
  const work = async () => {
    const refusals = refusalsOf(await evaluate(client, OFFER, keys, args, false));
    if (refusals.length > 0) return refusals.map(({ reason }) => reason);
    const [value, version] = await Promise.all(
      keys.map((key) => client.sendCommand<string | null>(["GET", key])),
    );
    await evaluate(client, FORGET, keys, [], false);
    if (decode(probe.userId, value ?? "", version ?? "", EPOCH) !== undefined) return [];
    return ["it does not give back what was stored in it"];
  };
  return await withDeadline(work(), STEP_LIMIT_MS, "an update").catch((error) => [reasonOf(error)]);
}

/** Tries each command by itself, as scripts do not say which of theirs was refused. */
async function tryEach(
  client: RedisClient,
  [value, version]: readonly [string, string],
): Promise<string[]> {
  const commands = [
    ["GET", value],
    ["TYPE", value],
    ["SET", value, "", "PX", PROBE_TTL_MS],
    ["SET", version, "", "PX", PROBE_TTL_MS],
    ["PEXPIRE", value, PROBE_TTL_MS],
    ["EVAL", FORGET.text, "2", value, version],
    ["EVALSHA", FORGET.sha1, "2", value, version],
    ["DEL", value, version],
  ];
  const refusals: string[] = [];
  for (const command of commands) {
    try {
      await withDeadline(client.sendCommand(command), STEP_LIMIT_MS, command[0]!);
    } catch (error) {
      if (!(error instanceof ErrorReply)) throw error;
      if (!error.message.startsWith("NOSCRIPT")) refusals.push(error.message);
    }
  }
  return refusals;
}

async function memoryRisk(client: RedisClient): Promise<string | undefined> {
  try {
    const info = await withDeadline(
      client.sendCommand<string>(["INFO", "memory"]),
      STEP_LIMIT_MS,
      "INFO",
    );
    const limit = Number(/^maxmemory:(\d+)/m.exec(info)?.[1] ?? 0);
    if (limit === 0 || !/^maxmemory_policy:noeviction/m.test(info)) return undefined;
    return `refuses updates once its maxmemory of ${limit} bytes is reached, as its ` +
      `maxmemory-policy is noeviction`;
  } catch (error) {
    // Without INFO nothing is known; that is noted already.
    if (error instanceof ErrorReply) return undefined;
    throw error;
  }
}
