/**
 * The cache in Redis, shared by all instances, with a copy of hot entries in this process that Redis keeps coherent
 * (server-assisted client-side caching). Owns the key layout, the script that lets the newest win, and the copies; the
 * connection is next door, in redis/connection.ts.
 *
 * `<prefix><user>` holds the plain value; beside it, in the same hash slot and with the same lifetime, a companion key
 * holds the version. A value without a readable version is a miss, and the next write replaces it. So is one written before
 * the server was restarted or failed over: it may come from a snapshot or a replica that was behind.
 */
import { createHash } from "node:crypto";
import { ErrorReply } from "@redis/client";
import { LRUCache } from "lru-cache";
import { type Entry, INSTANCE_ID_LENGTH, newest, type Version } from "../domain.ts";
import type { Cache, CachedEntry } from "../ports.ts";
import { Connection, type RedisAddress, type RedisClient } from "./redis/connection.ts";

export interface RedisCacheOptions extends RedisAddress {
  /** Put before every user id. */
  readonly prefix: string;
  /** Lifetime of both keys, and of a copy in this process. */
  readonly ttlMs: number;
  /** The copies in this process. `maxEntries` 0 turns them off; Redis then need not track what is read. */
  readonly local: LocalLimits;
  /** How long a call waits for an answer; default 250. */
  readonly callTimeoutMs?: number;
  /** Told each time that the connection is lost or cannot be made. It is tried again for ever. */
  readonly onError?: (error: Error) => void;
}

export interface LocalLimits {
  readonly maxEntries: number;
  /** Text counts two bytes for each UTF-16 unit. */
  readonly maxBytes: number;
}

/** Does not need the server to be up. Calls reject with the reason while there is no connection. */
export function createRedisCache(options: RedisCacheOptions): Cache {
  return new RedisCache(options);
}

const DEFAULT_CALL_TIMEOUT_MS = 250;
/** One round trip of {@link RedisCache.setMany}: small enough to be answered well within a call's deadline. */
const MAX_CHUNK_ENTRIES = 256;
const MAX_CHUNK_UNITS = 1024 * 1024;

class RedisCache implements Cache {
  readonly #keys: KeyLayout;
  readonly #ttlMs: string;
  readonly #callTimeoutMs: number;
  readonly #local: LocalCopies | undefined;
  readonly #connection: Connection;

  constructor(options: RedisCacheOptions) {
    this.#keys = new KeyLayout(options.prefix);
    this.#ttlMs = String(options.ttlMs);
    this.#callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#local = options.local.maxEntries === 0 ? undefined : new LocalCopies(options.local, options.ttlMs);
    this.#connection = new Connection({
      address: options,
      tracking: this.#local !== undefined,
      callTimeoutMs: this.#callTimeoutMs,
      onInvalidate: (key) => key === null ? this.#local?.clear() : this.#local?.forget(this.#keys.userOf(key)),
      onError: options.onError ?? (() => {}),
    });
  }

  get(userId: string): Promise<CachedEntry | undefined> {
    return this.#local ? this.#local.get(userId, () => this.#read(userId)) : this.#read(userId);
  }

  async #read(userId: string): Promise<CachedEntry | undefined> {
    const key = this.#keys.ofValue(userId);
    const [value, version] = await this.#connection.call((client) =>
      client.sendCommand<(string | null)[]>(["MGET", key, this.#keys.ofVersion(userId)])
    );
    if (typeof value !== "string" || typeof version !== "string") return undefined;
    return decode(userId, value, version, this.#connection.epoch);
  }

  async setMany(entries: readonly Entry[], complete: boolean): Promise<void> {
    for (const chunk of chunksOf(newestOfEach(entries))) {
      try {
        await this.#connection.call((client) =>
          Promise.all(chunk.map((entry) => this.#offer(client, entry, complete)))
        );
      } finally {
        // Redis says so too, but perhaps a moment later. And after a failure nobody knows what it has.
        for (const { userId } of chunk) this.#local?.forget(userId);
      }
    }
  }

  async #offer(client: RedisClient, entry: Entry, complete: boolean): Promise<void> {
    const { userId, value } = entry;
    const keys = ["2", this.#keys.ofValue(userId), this.#keys.ofVersion(userId)];
    const { epoch, serverNowMs } = this.#connection;
    const notAfterMs = String(serverNowMs + this.#callTimeoutMs);
    const args = [value, encodeVersion(entry), complete ? "1" : "0", this.#ttlMs, epoch, notAfterMs];
    if (await evaluate(client, [...keys, ...args]) === 0) {
      throw new Error("Redis came to an update after its deadline, and so left it");
    }
  }

  async forget(userId: string): Promise<void> {
    try {
      const keys = [this.#keys.ofValue(userId), this.#keys.ofVersion(userId)];
      await this.#connection.call((client) => client.sendCommand(["DEL", ...keys]));
    } finally {
      this.#local?.forget(userId);
    }
  }

  async ping(): Promise<void> {
    await this.#connection.call((client) => client.sendCommand(["PING"]));
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}

async function evaluate(client: RedisClient, keysAndArgs: readonly string[]): Promise<unknown> {
  try {
    return await client.sendCommand(["EVALSHA", OFFER_SCRIPT_SHA1, ...keysAndArgs]);
  } catch (error) {
    if (!(error instanceof ErrorReply && error.message.startsWith("NOSCRIPT"))) throw error;
    return await client.sendCommand(["EVAL", OFFER_SCRIPT, ...keysAndArgs]);
  }
}

function newestOfEach(entries: readonly Entry[]): Iterable<Entry> {
  const byUser = new Map<string, Entry>();
  for (const entry of entries) byUser.set(entry.userId, newest(byUser.get(entry.userId), entry) ?? entry);
  return byUser.values();
}

function* chunksOf(entries: Iterable<Entry>): Iterable<Entry[]> {
  let chunk: Entry[] = [];
  let units = 0;
  for (const entry of entries) {
    if (chunk.length === MAX_CHUNK_ENTRIES || (chunk.length > 0 && units + entry.value.length > MAX_CHUNK_UNITS)) {
      yield chunk;
      chunk = [];
      units = 0;
    }
    chunk.push(entry);
    units += entry.value.length;
  }
  if (chunk.length > 0) yield chunk;
}

/**
 * Key names. A companion can never be another user's key, because it holds a NUL and user ids cannot. It shares its value's
 * hash slot, except for an id such as `a}b`, for which Redis Cluster offers no way; a single server does not care.
 */
class KeyLayout {
  constructor(private readonly prefix: string) {}

  ofValue(userId: string): string {
    return this.prefix + userId;
  }

  /** Two endings, as otherwise the users `a` and `{a}` would share one companion. */
  ofVersion(userId: string): string {
    const key = this.prefix + userId;
    return key.includes("}") ? `${key}\0t` : `{${key}}\0v`;
  }

  /** The user whose value or version is at `key`. */
  userOf(key: string): string {
    if (key.endsWith("\0t")) key = key.slice(0, -2);
    else if (key.endsWith("}\0v")) key = key.slice(1, -3);
    return key.slice(this.prefix.length);
  }
}

const VERSION_PATTERN = new RegExp(`^([0-9]{16})([0-9]{16})([0-9a-z]{${INSTANCE_ID_LENGTH}}|-+)([0-9]{16})([01])(.*)$`);

const VERSION_LUA_PATTERN = `^${"%d".repeat(32)}${"[0-9a-z-]".repeat(INSTANCE_ID_LENGTH)}${"%d".repeat(16)}[01]`;

/**
 * Text of one length, whose bytes sort as versions do: `-`, for no instance, is below digits and letters. A number that does
 * not fit (a negative `ts`, say, in a row that others inserted) gives text that no `get` accepts: that user is not cached.
 */
function encodeVersion({ ts, acceptedMs, instance, seq }: Version): string {
  return digits(ts) + digits(acceptedMs) + instance.padEnd(INSTANCE_ID_LENGTH, "-") + digits(seq);
}

function digits(value: number): string {
  return String(value).padStart(16, "0");
}

function decode(userId: string, value: string, version: string, epoch: string): CachedEntry | undefined {
  const match = VERSION_PATTERN.exec(version);
  if (!match) return undefined;
  const [, ts, acceptedMs, instance, seq, complete, writtenIn] = match;
  if (writtenIn !== epoch) return undefined;
  const entry: Entry = {
    userId,
    value,
    ts: Number(ts),
    acceptedMs: Number(acceptedMs),
    instance: instance!.startsWith("-") ? "" : instance!,
    seq: Number(seq),
  };
  return { entry, complete: complete === "1", source: "redis" };
}

/**
 * Offers one entry. KEYS: value, version. ARGV: value, version, "1" when complete, lifetime in ms, epoch, and the server's time
 * in ms after which nothing is done and the answer is 0. May run twice. A stored version of any other shape or epoch, or of
 * another type, is nobody's: it is replaced. When only the value was evicted, the version still keeps older entries out.
 * Compares bytes, as Lua's `<` on text follows the server's locale.
 */
const OFFER_SCRIPT = `
local function older(a, b)
  for i = 1, #a do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return false
end
local version, complete, ttl, epoch = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[6]) then return 0 end
local stored = redis.pcall('GET', KEYS[2])
local size = #version
if type(stored) == 'string' and stored:sub(size + 2) == epoch and stored:find('${VERSION_LUA_PATTERN}') then
  local present = stored:sub(1, size)
  if older(version, present) then
    if complete == '1' and redis.call('PEXPIRE', KEYS[1], ttl) == 1 then
      redis.call('SET', KEYS[2], present .. '1' .. epoch, 'PX', ttl)
    end
    return 1
  end
  if stored:sub(size + 1, size + 1) == '1' then complete = '1' end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl)
redis.call('SET', KEYS[2], version .. complete .. epoch, 'PX', ttl)
return 1
`;
const OFFER_SCRIPT_SHA1 = createHash("sha1").update(OFFER_SCRIPT).digest("hex");

/** What a copy costs besides its text: its objects, its place in the map. Deliberately on the high side. */
const COPY_OVERHEAD_BYTES = 256;

interface Flight {
  readonly answer: Promise<CachedEntry | undefined>;
}

/** Copies of what Redis answered, each until Redis says that it changed. */
class LocalCopies {
  readonly #copies: LRUCache<string, CachedEntry>;
  /** Reads under way. One that was forgotten meanwhile is no longer here when its answer comes, and leaves no copy. */
  readonly #flights = new Map<string, Flight>();

  constructor({ maxEntries, maxBytes }: LocalLimits, ttlMs: number) {
    this.#copies = new LRUCache<string, CachedEntry>({
      max: maxEntries,
      maxSize: maxBytes,
      sizeCalculation: ({ entry }) => COPY_OVERHEAD_BYTES + 2 * (entry.userId.length + entry.value.length),
      ttl: ttlMs,
      // Otherwise the package starts a timer to know when it may read the clock again.
      ttlResolution: 0,
    });
  }

  get(userId: string, read: () => Promise<CachedEntry | undefined>): Promise<CachedEntry | undefined> {
    const copy = this.#copies.get(userId);
    if (copy !== undefined) return Promise.resolve(copy);
    const flying = this.#flights.get(userId);
    if (flying !== undefined) return flying.answer;
    const flight: Flight = {
      answer: read().then((found) => {
        if (this.#land(userId, flight) && found) this.#copies.set(userId, { ...found, source: "local" });
        return found;
      }, (error) => {
        this.#land(userId, flight);
        throw error;
      }),
    };
    this.#flights.set(userId, flight);
    return flight.answer;
  }

  #land(userId: string, flight: Flight): boolean {
    return this.#flights.get(userId) === flight && this.#flights.delete(userId);
  }

  forget(userId: string): void {
    this.#copies.delete(userId);
    this.#flights.delete(userId);
  }

  clear(): void {
    this.#copies.clear();
    this.#flights.clear();
  }
}
