/**
 * Offers entries to Redis: those of a flush or just durable ones, and what look-ups found. Many go
 * together, and where Redis refuses one the others go in all the same.
 */
import { ErrorReply } from "@redis/client";
import { type Entry, newestOfEach } from "../../domain.ts";
import { CacheStaleError, reasonOf } from "../../errors.ts";
import { CHUNKS_AT_ONCE, chunksOf } from "./chunks.ts";
import type { Connection } from "./connection.ts";
import { drop, NOBODYS } from "./drop.ts";
import type { Fence } from "./fence.ts";
import type { RedisClient } from "./handshake.ts";
import { encodeVersion, type KeyLayout } from "./keys.ts";
import type { Peer } from "./peer.ts";
import { isDone } from "./refusals.ts";
import { evaluate, FILL, HELD, OFFER, type Outcome, type Refusal, refusalsOf } from "./scripts.ts";

interface OfferOptions {
  readonly keys: KeyLayout;
  readonly fence: Fence;
  /** Copies are made under it now; undefined: nobody knows whose they would be. */
  readonly epoch: () => string | undefined;
  readonly ttlMs: number;
  readonly callTimeoutMs: number;
  /** It is told that updates were refused. */
  readonly onError: (error: Error) => void;
}

interface Refused {
  readonly userId: string;
  /** `fenced` was not taken, and nothing of the user has changed. */
  readonly outcome: Refusal["outcome"] | "fenced";
  readonly reason: string;
}

/** It says what a look-up knows of the entries that are offered; undefined without one. */
type Found = { readonly fence: string } | undefined;

/** Entries of more users than this are a backlog: hardly anybody is among them twice. */
const BACKLOG_USERS = 4_500;

export class Offers {
  constructor(
    private readonly connection: Connection,
    private readonly options: OfferOptions,
  ) {}

  /**
   * Does as {@link Cache.update} says. Of a backlog only users get their value whose copy is there:
   * the others were not asked for lately, and a value each would take longer than the store takes
   * for the rows, and the place of those that are asked for.
   */
  async update(entries: readonly Entry[], areStored: boolean): Promise<void> {
    const newest = newestOfEach(entries);
    // It comes before anybody is left out, and after the store has the entries.
    const server = areStored && newest.length > 0 ? await this.options.fence.renew() : undefined;
    const leavesOut = server !== undefined && newest.length > BACKLOG_USERS &&
      this.options.epoch() !== undefined;
    await this.#offerMany(leavesOut ? await this.#held(newest, server) : newest, undefined);
  }

  /**
   * Does as {@link Cache.fill} says.
   * @param fence as it was before the look-up
   */
  async fill(entries: readonly Entry[], fence: string): Promise<boolean> {
    const refused = await this.#offerMany(newestOfEach(entries), { fence });
    return !refused.some(({ outcome }) => outcome === "fenced");
  }

  /**
   * Returns the entries of whose users something is held.
   * @param server has renewed its fence: no other one is asked
   */
  async #held(entries: readonly Entry[], server: string): Promise<Entry[]> {
    const held: Entry[] = [];
    let isAsked = true;
    await inLanes(chunksOf(entries), async (chunk) => {
      const indices = isAsked
        ? await this.#heldOf(chunk, server).catch(() => undefined)
        : undefined;
      // Who cannot be asked of these cannot be asked of others either.
      if (indices === undefined) isAsked = false;
      held.push(...indices?.map((index) => chunk[index]!) ?? chunk);
    });
    return held;
  }

  async #heldOf(chunk: readonly Entry[], server: string): Promise<readonly number[] | undefined> {
    const keys = chunk.flatMap(({ userId }) => this.options.keys.of(userId));
    return await this.connection.call(async (client, peer) => {
      if (!peer.takesMany || peer.epoch !== server) return undefined;
      return await evaluate<number[]>(client, HELD, keys, [], peer.untracks);
    });
  }

  async #offerMany(entries: readonly Entry[], found: Found): Promise<readonly Refused[]> {
    const refused: Refused[] = [];
    const unknown: string[] = [];
    let failure: unknown;
    await inLanes(chunksOf(entries), async (chunk) => {
      try {
        if (failure === undefined) refused.push(...await this.#offerAll(chunk, found));
      } catch (error) {
        failure ??= error;
      }
      if (failure !== undefined) unknown.push(...chunk.map(({ userId }) => userId));
    });
    if (failure === undefined) {
      this.#report(refused);
      return refused;
    }
    throw new CacheStaleError([...unknown, ...stale(refused)], reasonOf(failure), {
      cause: failure,
    });
  }

  /**
   * Offers a chunk in one round trip; where the server does not let the script run for all of them
   * at once, in another one for each, and where it does not let it run at all in a third one.
   */
  async #offerAll(chunk: readonly Entry[], found: Found): Promise<Refused[]> {
    return await this.connection.call(async (client, peer) => {
      if (peer.takesMany) {
        try {
          return await this.#offer(client, peer, chunk, found);
        } catch (error) {
          if (!(error instanceof ErrorReply)) throw error;
          if (error.message.startsWith("CROSSSLOT")) peer.takesNoMore();
        }
      }
      const each = chunk.map((entry) => this.#offerOne(client, peer, entry, found));
      return (await Promise.all(each)).flat();
    });
  }

  async #offerOne(
    client: RedisClient,
    peer: Peer,
    entry: Entry,
    found: Found,
  ): Promise<Refused[]> {
    try {
      return await this.#offer(client, peer, [entry], found);
    } catch (error) {
      if (!(error instanceof ErrorReply)) throw error;
      // The script could not run. Without its companion the copy is a miss, whatever type its key
      // has.
      const { userId } = entry;
      const dropped = await isDone(
        client.sendCommand(["DEL", this.options.keys.ofVersion(userId)]),
      );
      return [{ userId, outcome: dropped ? "dropped" : "stale", reason: error.message }];
    }
  }

  async #offer(
    client: RedisClient,
    peer: Peer,
    entries: readonly Entry[],
    found: Found,
  ): Promise<Refused[]> {
    const epoch = this.options.epoch();
    if (epoch === undefined) {
      await Promise.all(entries.map(({ userId }) => drop(client, peer, this.options.keys, userId)));
      return entries.map(({ userId }) => ({ userId, outcome: "stale", reason: NOBODYS }));
    }
    const notAfterMs = String(peer.nowMs + this.options.callTimeoutMs);
    const keys: string[] = [];
    const args = [found === undefined ? "0" : "1", String(this.options.ttlMs), epoch, notAfterMs];
    for (const entry of entries) {
      keys.push(...this.options.keys.of(entry.userId));
      args.push(entry.value, encodeVersion(entry));
    }
    const isFenced = found !== undefined && peer.takesMany;
    if (isFenced) {
      keys.push(this.options.keys.ofFence);
      args.push(found.fence);
    }
    const script = isFenced ? FILL : OFFER;
    const answer = await evaluate<string[] | null>(client, script, keys, args, peer.untracks);
    if (answer === null) {
      return entries.map(({ userId }) => ({ userId, outcome: "fenced", reason: "" }));
    }
    return refusalsOf(answer).map(({ index, ...refusal }) => ({
      ...refusal,
      userId: entries[index]!.userId,
    }));
  }

  /**
   * Tells what was refused.
   * @throws CacheStaleError for users of whom an older copy may be left
   */
  #report(refused: readonly Refused[]): void {
    const of = (outcome: Outcome) => refused.find((refusal) => refusal.outcome === outcome);
    const [foreign, dropped, left] = [of("foreign"), of("dropped"), of("stale")];
    if (foreign) {
      this.connection.notice(
        `has keys of other programs where copies of users would be (one is a ` +
          `${foreign.reason}): these users are not ` +
          "cached; a CACHE_PREFIX of its own would part them",
      );
    }
    if (dropped) {
      const fault = this.connection.fault(new Error(dropped.reason));
      this.options.onError(
        new Error(`${fault.message}; what it had of these users is dropped instead`),
      );
    }
    if (left === undefined) return;
    const fault = this.connection.fault(new Error(left.reason));
    if (/\bREADONLY\b/.test(left.reason)) this.connection.giveUp(new Error(left.reason));
    throw new CacheStaleError(stale(refused), fault.message, { cause: fault });
  }
}

/** Works on some chunks at a time. */
async function inLanes(
  chunks: Iterable<Entry[]>,
  work: (chunk: Entry[]) => Promise<void>,
): Promise<void> {
  const lane = async () => {
    for (const chunk of chunks) await work(chunk);
  };
  await Promise.all(Array.from({ length: CHUNKS_AT_ONCE }, lane));
}

function stale(refused: readonly Refused[]): string[] {
  return refused.filter(({ outcome }) => outcome === "stale").map(({ userId }) => userId);
}
