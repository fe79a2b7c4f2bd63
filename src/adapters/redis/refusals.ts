/** Knows what servers say when they refuse, and what to do about it. */
import { ErrorReply } from "@redis/client";

const CLUSTER = "it is a node of a Redis Cluster, which is not supported: name a single server, " +
  "or an endpoint that speaks for the cluster as one";

/**
 * The patterns are in the words of Redis 6 and 7 and of Valkey; scripts put their own place before
 * them.
 */
const ADVICE: readonly (readonly [RegExp, string | ((...found: string[]) => string)])[] = [
  [
    /\bOOM /,
    "its maxmemory is reached and nothing may be evicted: set maxmemory-policy to " +
    "allkeys-lru, or give it more",
  ],
  [/\bNOREPLICAS /, "fewer replicas follow it than its min-replicas-to-write demands"],
  [/\bREADONLY /, "it is a read-only replica: name the primary"],
  [/\bMISCONF /, "it cannot save its snapshots, and stop-writes-on-bgsave-error is set"],
  [/\b(MOVED|ASK|CLUSTERDOWN|CROSSSLOT) /, CLUSTER],
  [/permissions to run the '([a-z|]+)' command/i, (command) => `the user's ACL lacks +${command}`],
  [
    /user executing the script can't run this command/i,
    "the user's ACL lacks one of +get +set +del +type +pexpire, which scripts call " +
    "(with FLUSH_SLOTS also +time and +z… on sorted sets: docs/operations.md)",
  ],
  [
    /permissions to access (one of the keys|a key)|can't access at least one of the keys/i,
    "its keys must match ~PREFIX*, with the value of CACHE_PREFIX for PREFIX",
  ],
  [/unknown command .?HELLO/i, "it is older than Redis 6, or HELLO is renamed"],
];

export const NO_TRACKING =
  "has no CLIENT TRACKING for this user, so no copies are kept in this process";

/** Returns the server's own words, and advice where there is some. */
export function explain(reply: string): string {
  // What follows are the arguments, and with them what is stored.
  const told = reply.replace(/,? with args beginning with: .*/s, "");
  const words = told.replace(/^@user_script:.*?\d+: -?/, "").trim();
  for (const [pattern, advice] of ADVICE) {
    const found = pattern.exec(words);
    if (found) {
      return `${words} (${typeof advice === "string" ? advice : advice(...found.slice(1))})`;
    }
  }
  return words;
}

/**
 * Returns why this server cannot be the cache, whatever its state; undefined when it can. It is
 * judged by the answers to INFO, which may be empty.
 */
export function unfitness(info: string): string | undefined {
  const field = (name: string) => new RegExp(`^(?:${name}):(\\S+)`, "m").exec(info)?.[1];
  const mode = field("redis_mode|server_mode");
  if (mode === "cluster") return CLUSTER;
  if (mode === "sentinel") {
    return "it is a Sentinel, which is not supported: name the server that it watches";
  }
  const version = field("redis_version");
  if (version !== undefined && Number.parseInt(version) < 6) {
    return `it is Redis ${version}: 6 or newer is needed`;
  }
  if (field("role") === "slave") {
    return `it is a read-only replica of ${field("master_host")}:${
      field("master_port")
    }: name the primary`;
  }
}

/** Resolves to false when the server refuses the call. */
export async function isDone(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof ErrorReply) return false;
    throw error;
  }
}
