/** Has what Redis runs for us, each script as one step that nothing comes between. */
import { createHash } from "node:crypto";
import { ErrorReply } from "@redis/client";
import type { RedisClient } from "./handshake.ts";
import { LUA_PATTERN, LUA_VERSION_LENGTH } from "./keys.ts";

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
local function drop()
  local had = redis.pcall('DEL', KEYS[2])
  if type(had) == 'table' then return had.err end
  if had == 1 and redis.call('TYPE', KEYS[1]).ok == 'string' then redis.pcall('DEL', KEYS[1]) end
end
`;

/** This is longer than a look-up in the store takes, and the update that follows it. */
const GUARD_MS = 10_000;

/** It compares bytes, as Lua's `<` on text follows the server's locale. */
const OLDER = `
local function older(a, b)
  for i = 1, ${LUA_VERSION_LENGTH} do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return false
end
`;

/**
 * It forgets a user. KEYS are value and version. ARGV is empty, or has the version below which
 * nothing is to be taken for a while, and the epoch. A newer one that was there counts, too.
 */
export const FORGET = script(`${DROP}${OLDER}
local guard, epoch = ARGV[1], ARGV[2]
local stored = guard and redis.pcall('GET', KEYS[2])
local err = drop()
if err then return redis.error_reply(err) end
if guard then
  local is_ours = type(stored) == 'string' and stored:sub(#guard + 2) == epoch
    and stored:find('${LUA_PATTERN}')
  if is_ours and older(guard, stored:sub(1, #guard)) then guard = stored:sub(1, #guard) end
  redis.pcall('SET', KEYS[2], guard .. '0' .. epoch, 'PX', ${GUARD_MS})
end
return 'dropped'
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

/**
 * Offers one entry. KEYS are value and version. ARGV has value, version, "1" when complete, the
 * lifetime in ms, the epoch, and the server's time in ms after which nothing is stored. It may run
 * twice, and answers an {@link Outcome}.
 *
 * A stored version of any other shape or epoch, or of another type, is nobody's: it is replaced.
 * When only the value was evicted, the version still keeps older entries out. Where TIME is
 * forbidden, an offer that comes late takes effect.
 *
 * What was refused leaves its version behind for a while, without a value: a look-up that found
 * what is older, and comes late, would else be stored. That is allowed in a full server, too, as
 * the first thing that a script does there is to delete.
 */
export const OFFER = script(`${DROP}${OLDER}
local version, complete, ttl, epoch = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local function refused(reason)
  if drop() then return 'stale ' .. reason end
  redis.pcall('SET', KEYS[2], version .. '0' .. epoch, 'PX', math.min(ttl, ${GUARD_MS}))
  return 'dropped ' .. reason
end
local function is_late()
  local time = redis.pcall('TIME')
  return not time.err and time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[6])
end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'string' then return 'foreign ' .. kind end
local stored = redis.pcall('GET', KEYS[2])
local size = #version
local is_ours = type(stored) == 'string' and stored:sub(size + 2) == epoch
  and stored:find('${LUA_PATTERN}')
local is_older = is_ours and older(version, stored:sub(1, size))
if is_late() then return is_older and 'stored' or refused('Redis came to it after its deadline') end
if is_older then
  if complete == '1' and redis.pcall('PEXPIRE', KEYS[1], ttl) == 1 then
    redis.pcall('SET', KEYS[2], stored:sub(1, size) .. '1' .. epoch, 'PX', ttl)
  end
  return 'stored'
end
if is_ours and stored:sub(size + 1, size + 1) == '1' then complete = '1' end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ttl)
if not set.err then set = redis.pcall('SET', KEYS[2], version .. complete .. epoch, 'PX', ttl) end
if set.err then return refused(set.err) end
return 'stored'
`);

function script(text: string): Script {
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
}

export async function evaluate(
  client: RedisClient,
  script: Script,
  keys: readonly string[],
  args: readonly string[],
) {
  const rest = [String(keys.length), ...keys, ...args];
  try {
    return await client.sendCommand<string>(["EVALSHA", script.sha1, ...rest]);
  } catch (error) {
    if (!(error instanceof ErrorReply && error.message.startsWith("NOSCRIPT"))) throw error;
    return await client.sendCommand<string>(["EVAL", script.text, ...rest]);
  }
}
