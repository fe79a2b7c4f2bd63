/**
 * Keeps the lease in one key of Redis, by the server's clock. One server is asked, not a majority of
 * several: what must be true whatever becomes of it is bound to a term of the store.
 */
import { systemClock } from "../../ports/clock.ts";
import type { Lease, LeaseHolder } from "../../ports/lease.ts";
import { Connection } from "./connection.ts";
import type { RedisAddress } from "./handshake.ts";
import { evaluate, script } from "./scripts.ts";

export interface RedisLeaseOptions extends RedisAddress {
  /** It is put before the name of the key. */
  readonly prefix: string;
  /** It returns the store's identity: two databases that share a Redis do not share a leader. */
  readonly identity: () => Promise<string>;
  /** A call waits for an answer for so long; the default is 2,000. */
  readonly callTimeoutMs?: number;
}

/** Nobody waits for it but duties, which have time. */
const DEFAULT_CALL_TIMEOUT_MS = 2_000;

/** What stands there: since when, when it was renewed last, and whose it is. */
const READ = `
local found = redis.call('GET', KEYS[1])
local since, renewed, holder
if found then since, renewed, holder = found:match('^(%d+) (%d+) (.+)$') end
`;

/**
 * It takes or prolongs the lease; KEYS is its key. ARGV are who asks, for how long, and the time of
 * who asks, for a server that forbids TIME. A lease that was renewed later than now is of a clock
 * that was set back since: it would last for as long as the clock was set back.
 */
const HOLD = script(`${READ}
local time = redis.pcall('TIME')
local now = tonumber(ARGV[3])
if not time.err then now = time[1] * 1000 + math.floor(time[2] / 1000) end
if holder and holder ~= ARGV[1] and (time.err or tonumber(renewed) <= now) then
  return {holder, since}
end
if holder ~= ARGV[1] then since = string.format('%.0f', now) end
redis.call('SET', KEYS[1], string.format('%s %.0f %s', since, now, ARGV[1]), 'PX', ARGV[2])
return {ARGV[1], since}
`);

/** It gives the lease back where it is that of who asks. */
const RELEASE = script(`${READ}
if holder == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`);

/** It connects when it is asked for the first time; the server need not be up. */
export class RedisLease implements Lease {
  #opened: Connection | undefined;
  #isClosed = false;

  constructor(private readonly options: RedisLeaseOptions) {}

  async hold(holder: string, lifeMs: number): Promise<LeaseHolder> {
    const args = [holder, String(lifeMs), String(systemClock.now())];
    const [found, sinceMs] = await this.#run<[string, string]>(HOLD, args);
    return { holder: found, sinceMs: Number(sinceMs) };
  }

  async release(holder: string): Promise<void> {
    await this.#run(RELEASE, [holder]);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opened?.close();
  }

  /** No user has this key, as it holds a NUL. */
  async #run<T>(what: typeof HOLD, args: readonly string[]): Promise<T> {
    const { prefix, identity } = this.options;
    const key = `${prefix}\0l${await identity()}`;
    return await this.#connection.call((client) => evaluate<T>(client, what, [key], args, false));
  }

  get #connection(): Connection {
    if (this.#isClosed) throw new Error("The lease is closed");
    if (this.#opened === undefined) {
      this.#opened = new Connection({
        address: this.options,
        tracking: false,
        callTimeoutMs: this.options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS,
        onInvalidate: () => {},
        // Whoever asks for the lease is told by the call that fails, and the cache has told the rest.
        onError: () => {},
        onNotice: () => {},
      });
      this.#opened.start();
    }
    return this.#opened;
  }
}
