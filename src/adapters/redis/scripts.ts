/** Has what Redis runs for us, each script as one step that nothing comes between. */
import { createHash } from "node:crypto";
import { ErrorReply } from "@redis/client";
import type { RedisClient } from "./handshake.ts";
import { LUA_PATTERN, RUN_AT, SEQ_AT, VERSION_LENGTH } from "./keys.ts";

interface Script {
  readonly text: string;
  readonly sha1: string;
}

/**
 * It drops what is held of a user: the companion, which alone makes it a miss, and the value where
 * it was ours. A key of any other type is somebody else's. Deleting is allowed where memory is
 * full.
 */
const DROP = `
local function drop(value_key, version_key)
  local had = redis.pcall('DEL', version_key)
  if type(had) == 'table' then return had.err end
  if had == 1 and redis.call('TYPE', value_key).ok == 'string' then
    redis.pcall('DEL', value_key)
  end
end
`;

/** What is under way when something is guarded has come, or has missed its deadline, by then. */
const GUARD_MS = 10_000;

/**
 * It says whether text that is ours has an older version than another one. Lua's `<` on text
 * follows the server's locale, in which digits have the order of their bytes everywhere; the run
 * between the numbers is compared byte by byte, which takes ten times as long.
 */
const OLDER = `
local function older(a, b)
  local x, y = a:sub(1, ${RUN_AT}), b:sub(1, ${RUN_AT})
  if x ~= y then return x < y end
  if a:sub(${RUN_AT + 1}, ${SEQ_AT}) ~= b:sub(${RUN_AT + 1}, ${SEQ_AT}) then
    for i = ${RUN_AT + 1}, ${SEQ_AT} do
      local x, y = a:byte(i), b:byte(i)
      if x ~= y then return x < y end
    end
  end
  return a:sub(${SEQ_AT + 1}, ${VERSION_LENGTH}) < b:sub(${SEQ_AT + 1}, ${VERSION_LENGTH})
end
`;

/**
 * It forgets a user. KEYS are value and version. ARGV is empty, or has the version below which
 * nothing is to be taken for a while, and the epoch. A newer one that was there counts, too.
 */
export const FORGET = script(`${DROP}${OLDER}
local guard, epoch = ARGV[1], ARGV[2]
local stored = guard and redis.pcall('GET', KEYS[2])
local err = drop(KEYS[1], KEYS[2])
if err then return redis.error_reply(err) end
if guard then
  local is_ours = type(stored) == 'string' and stored:sub(#guard + 2) == epoch
    and stored:find('${LUA_PATTERN}')
  if is_ours and older(guard, stored:sub(1, #guard)) then guard = stored:sub(1, #guard) end
  redis.pcall('SET', KEYS[2], guard .. '0' .. epoch, 'PX', ${GUARD_MS})
end
return 'dropped'
`);

/**
 * Says of which users something is held, of whatever type. KEYS are the value and the version of
 * each; it answers their places. `GET` needs no right that the other scripts do not need.
 */
export const HELD = script(`
local held = {}
for i = 1, #KEYS, 2 do
  if redis.pcall('GET', KEYS[i]) or redis.pcall('GET', KEYS[i + 1]) then
    held[#held + 1] = (i - 1) / 2
  end
end
return held
`);

/** It says how an offer went; a blank and the reason follow it. */
export type Outcome =
  /** It, or what is newer, is there. */
  | "stored"
  /** A key of another type has the value's name: nothing was written. */
  | "foreign"
  /** It was refused; no value is held of the user now. */
  | "dropped"
  /** It was refused, even to drop what is there, which may be older. */
  | "stale";

/** It is what became of the offer at `index`, when it was not stored. */
export interface Refusal {
  readonly index: number;
  readonly outcome: Exclude<Outcome, "stored">;
  readonly reason: string;
}

/**
 * Offers one entry of each of some users. KEYS are the value and the version of each. ARGV has "1"
 * when the entries are complete, the lifetime in ms, the epoch, and the server's time in ms after
 * which nothing is stored; then the value and the version of each entry. It may run twice. It
 * answers a text for each {@link Refusal}, which {@link refusalsOf} reads.
 *
 * A stored version of any other shape or epoch, or of another type, is nobody's: it is replaced.
 * When only the value was evicted, the version still keeps older entries out. Where TIME is
 * forbidden, an offer that comes late takes effect.
 *
 * What was refused leaves its version behind for a while, without a value: a look-up that found
 * what is older, and comes late, would else be stored. That is allowed in a full server, too, as
 * the first thing that a script does there is to delete.
 *
 * A full server refuses no more than the first write of a script. So that is always a `SET`, and
 * once it was refused the script refuses all others by itself.
 */
export const OFFER = script(`${DROP}${OLDER}
local complete, ttl, epoch = ARGV[1], ARGV[2], ARGV[3]
local refuses_all
local time = redis.pcall('TIME')
if not time.err and time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[4]) then
  refuses_all = 'Redis came to it after its deadline'
end
local function refused(value_key, version_key, version, reason)
  if drop(value_key, version_key) then return 'stale ' .. reason end
  redis.pcall('SET', version_key, version .. '0' .. epoch, 'PX', math.min(ttl, ${GUARD_MS}))
  return 'dropped ' .. reason
end
local function offer(value_key, version_key, value, version)
  local kind = redis.call('TYPE', value_key).ok
  if kind ~= 'none' and kind ~= 'string' then return 'foreign ' .. kind end
  local stored = redis.pcall('GET', version_key)
  local size = #version
  local is_ours = type(stored) == 'string' and stored:sub(size + 2) == epoch
    and stored:find('${LUA_PATTERN}')
  if is_ours and older(version, stored) then
    if complete == '1' and kind == 'string' and not refuses_all then
      local set = redis.pcall('SET', version_key, stored:sub(1, size) .. '1' .. epoch, 'PX', ttl)
      if not set.err then redis.pcall('PEXPIRE', value_key, ttl) end
    end
    return
  end
  if refuses_all then return refused(value_key, version_key, version, refuses_all) end
  local flag = is_ours and stored:sub(size + 1, size + 1) == '1' and '1' or complete
  local set = redis.pcall('SET', value_key, value, 'PX', ttl)
  if not set.err then
    set = redis.pcall('SET', version_key, version .. flag .. epoch, 'PX', ttl)
  end
  if not set.err then return end
  if set.err:find('OOM ', 1, true) then refuses_all = set.err end
  return refused(value_key, version_key, version, set.err)
end
local refusals = {}
for i = 1, math.floor(#KEYS / 2) do
  local refusal = offer(KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i + 3], ARGV[2 * i + 4])
  if refusal then refusals[#refusals + 1] = (i - 1) .. ' ' .. refusal end
end
return refusals
`);

/**
 * Does as {@link OFFER}, unless the fence was renewed since, or is lost: then it does nothing, and
 * answers nil. The last of KEYS is the fence, the last of ARGV what it was before the look-up.
 */
export const FILL = script(`
if redis.pcall('GET', KEYS[#KEYS]) ~= ARGV[#ARGV] then return false end
${OFFER.text}`);

/** Reads the answer to {@link OFFER}. */
export function refusalsOf(answer: readonly string[]): Refusal[] {
  return answer.map((text) => {
    const [, index, outcome, reason] = /^([0-9]+) ([a-z]+) ([^]*)$/.exec(text)!;
    return { index: Number(index), outcome: outcome as Refusal["outcome"], reason: reason! };
  });
}

export function script(text: string): Script {
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
}

/**
 * Runs a script.
 * @param isUntracked the server is not to watch the keys for this connection: it would tell it of
 *   each that the script itself changes next, because the script has looked at it before
 */
export async function evaluate<T>(
  client: RedisClient,
  script: Script,
  keys: readonly string[],
  args: readonly string[],
  isUntracked: boolean,
): Promise<T> {
  const send = (command: string, text: string) => {
    // It holds for the very next command, which is always this one: nothing refuses it before it
    // is sent, as the client has no limit of its own.
    if (isUntracked) client.sendCommand(["CLIENT", "CACHING", "NO"]).catch(() => {});
    return client.sendCommand<T>([command, text, String(keys.length), ...keys, ...args]);
  };
  try {
    return await send("EVALSHA", script.sha1);
  } catch (error) {
    if (!(error instanceof ErrorReply && error.message.startsWith("NOSCRIPT"))) throw error;
    return await send("EVAL", script.text);
  }
}
