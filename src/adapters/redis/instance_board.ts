/**
 * Keeps the notes of all instances in one hash of Redis, each with its end by the server's clock.
 * The whole of it ends with its last note.
 */
import { ErrorReply } from "@redis/client";
import { systemClock } from "../../ports/clock.ts";
import {
  BoardRefusesError,
  type InstanceBoard,
  NOTE_LENGTH_MAX,
  NOTES_MAX,
} from "../../ports/instance_board.ts";
import { Connection } from "./connection.ts";
import type { RedisAddress } from "./handshake.ts";
import { evaluate, script } from "./scripts.ts";

export interface RedisInstanceBoardOptions extends RedisAddress {
  /** It is put before the name of the key. */
  readonly prefix: string;
  /** It returns the store's: instances of two databases that share a Redis do not see each other. */
  readonly identity: () => Promise<string>;
  /** A call waits for an answer for so long; the default is 1,000. */
  readonly callTimeoutMs?: number;
}

/** Nobody waits for it but a page, whose numbers are a second old. */
const DEFAULT_CALL_TIMEOUT_MS = 1_000;

/**
 * The last of ARGV is the time of who asks, for a server that forbids TIME. Notes that have ended
 * are removed; after that `kept` has the others.
 */
const READ = `
local time = redis.pcall('TIME')
local now = tonumber(ARGV[#ARGV])
if not time.err then now = time[1] * 1000 + math.floor(time[2] / 1000) end
local found, kept, count = redis.call('HGETALL', KEYS[1]), {}, 0
for i = 1, #found, 2 do
  local ends, note = found[i + 1]:match('^(%d+) (.*)$')
  if ends and tonumber(ends) > now then
    kept[found[i]] = note
    count = count + 1
  else
    redis.call('HDEL', KEYS[1], found[i])
  end
end
`;

const POST = script(`${READ}
if not kept[ARGV[1]] and count >= ${NOTES_MAX} then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + ARGV[3], ARGV[2]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
`);

const NOTES = script(`${READ}
local notes = {}
for _, note in pairs(kept) do
  if #notes < ${NOTES_MAX} then notes[#notes + 1] = note end
end
return notes
`);

const WITHDRAW = script("return redis.call('HDEL', KEYS[1], ARGV[1])");

/** It connects when it is asked for the first time; the server need not be up. */
export class RedisInstanceBoard implements InstanceBoard {
  #opened: Connection | undefined;
  #isClosed = false;

  constructor(private readonly options: RedisInstanceBoardOptions) {}

  async post(name: string, note: string, lifeMs: number): Promise<void> {
    if (note.length > NOTE_LENGTH_MAX) {
      throw new Error(`A note has at most ${NOTE_LENGTH_MAX} characters`);
    }
    await this.#run(POST, [name, note, String(lifeMs)]);
  }

  notes(): Promise<readonly string[]> {
    return this.#run<string[]>(NOTES, []);
  }

  async withdraw(name: string): Promise<void> {
    if (this.#opened !== undefined) await this.#run(WITHDRAW, [name]);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opened?.close();
  }

  /** No user has this key, as it holds a NUL. */
  async #run<T>(what: typeof POST, args: readonly string[]): Promise<T> {
    const { prefix, identity } = this.options;
    const key = `${prefix}\0i${await identity()}`;
    const all = [...args, String(systemClock.now())];
    try {
      return await this.#connection.call((client) => evaluate<T>(client, what, [key], all, false));
    } catch (error) {
      const { cause, message } = error as Error;
      throw cause instanceof ErrorReply ? new BoardRefusesError(message, { cause }) : error;
    }
  }

  get #connection(): Connection {
    if (this.#isClosed) throw new Error("The board is closed");
    if (this.#opened === undefined) {
      this.#opened = new Connection({
        address: this.options,
        tracking: false,
        callTimeoutMs: this.options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS,
        onInvalidate: () => {},
        // The cache, which is on the same server, tells of these.
        onError: () => {},
        onNotice: () => {},
      });
      this.#opened.start();
    }
    return this.#opened;
  }
}
