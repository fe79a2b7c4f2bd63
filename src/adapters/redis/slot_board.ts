/**
 * Is what Redis knows of the slots for flushes: who holds one until when, and who waits in which
 * order. All times are those of the server, so that nobody's clock counts.
 */
import type { Connection } from "./connection.ts";
import { evaluate, script } from "./scripts.ts";

/** Who has asked and was given a slot. */
export const GRANTED = -1;

export interface SlotBoard {
  /**
   * Asks for a slot, or again for one that was asked for before: who does not ask again for a while
   * has lost the place.
   * @param asker a name of this wait alone
   * @returns {@link GRANTED}, or how many have to be given one before
   */
  ask(store: string, asker: string): Promise<number>;
  /** Gives back what `asker` holds, and the place where it waits. */
  leave(store: string, asker: string): Promise<void>;
}

export interface SlotLives {
  readonly count: number;
  /** A slot expires after this, which is longer than any flush may take. */
  readonly slotLifeMs: number;
  /** A place is lost by who did not ask for so long. */
  readonly placeLifeMs: number;
}

/**
 * KEYS are the holders by the end of their slots, who waits by the time they came, and the same by
 * the end of their places. ARGV has the asker, the number of slots, and the lives of a slot and of
 * a place. A repeat of a question whose answer was lost finds what it was given.
 *
 * Of free slots the first in the queue get as many: one who does not ask just now keeps the others
 * from none but its own. `%.0f`, as Lua would round what has more than 14 digits.
 */
const ASK = script(`
local holders, queue, places = KEYS[1], KEYS[2], KEYS[3]
local asker, count = ARGV[1], tonumber(ARGV[2])
local slot_life, place_life = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', holders, '-inf', now)
if redis.call('ZSCORE', holders, asker) then return ${GRANTED} end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', places, '-inf', now)) do
  redis.call('ZREM', queue, gone)
  redis.call('ZREM', places, gone)
end
redis.call('ZADD', queue, 'NX', string.format('%.0f', time[1] * 1000000 + time[2]), asker)
local ahead = redis.call('ZRANK', queue, asker) - (count - redis.call('ZCARD', holders))
if ahead < 0 then
  redis.call('ZREM', queue, asker)
  redis.call('ZREM', places, asker)
  redis.call('ZADD', holders, string.format('%.0f', now + slot_life), asker)
  redis.call('PEXPIRE', holders, slot_life)
  return ${GRANTED}
end
redis.call('ZADD', places, string.format('%.0f', now + place_life), asker)
redis.call('PEXPIRE', queue, place_life)
redis.call('PEXPIRE', places, place_life)
return ahead
`);

const LEAVE = script(`
for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
return 0
`);

export class RedisSlotBoard implements SlotBoard {
  constructor(
    private readonly connection: Connection,
    private readonly prefix: string,
    private readonly lives: SlotLives,
  ) {}

  ask(store: string, asker: string): Promise<number> {
    const { count, slotLifeMs, placeLifeMs } = this.lives;
    const args = [asker, ...[count, slotLifeMs, placeLifeMs].map(String)];
    return this.connection.call((client) => evaluate(client, ASK, this.#keys(store), args, false));
  }

  async leave(store: string, asker: string): Promise<void> {
    await this.connection.call((client) =>
      evaluate(client, LEAVE, this.#keys(store), [asker], false)
    );
  }

  /** No user has one of these keys, as they hold a NUL; they share a hash slot. */
  #keys(store: string): string[] {
    return ["h", "q", "p"].map((kind) => `${this.prefix}{\0s${store}}${kind}`);
  }
}
