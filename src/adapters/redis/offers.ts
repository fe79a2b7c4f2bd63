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
import type { RedisClient } from "./handshake.ts";
import { encodeVersion, type KeyLayout } from "./keys.ts";
import type { Peer } from "./peer.ts";
import { evaluate, GUARD, OFFER, type Outcome, type Refusal, refusalsOf } from "./scripts.ts";

interface OfferOptions {
  readonly keys: KeyLayout;
  /** Copies are made under it now; undefined: nobody knows whose they would be. */
  readonly epoch: () => string | undefined;
  readonly ttlMs: number;
  readonly callTimeoutMs: number;
  /** It is told that updates were refused. */
  readonly onError: (error: Error) => void;
}

interface Refused extends Omit<Refusal, "index"> {
  readonly userId: string;
}

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
    const isBacklog = areStored && newest.length > BACKLOG_USERS;
    await this.#offerMany(isBacklog ? await this.#held(newest) : newest, false);
  }

  /** Does as {@link Cache.fill} says. */
  fill(entries: readonly Entry[]): Promise<void> {
    return this.#offerMany(newestOfEach(entries), true);
  }

  /**
   * Returns the entries of whose users something is held. Of the others a version is left for a
   * while, which keeps out what look-ups under way have found.
   */
  async #held(entries: readonly Entry[]): Promise<Entry[]> {
    const held: Entry[] = [];
    let isAsked = true;
    await inLanes(chunksOf(entries), async (chunk) => {
      const indices = isAsked ? await this.#guard(chunk).catch(() => undefined) : undefined;
      // Who cannot be asked of these cannot be asked of others either.
      if (indices === undefined) isAsked = false;
      held.push(...indices?.map((index) => chunk[index]!) ?? chunk);
    });
    return held;
  }

  /**
   * Guards the users of whom nothing is held; returns the places of the others, or undefined where
   * that cannot be: nobody knows whose the copies are, or the server takes no keys of many users.
   */
  async #guard(chunk: readonly Entry[]): Promise<readonly number[] | undefined> {
    return await this.connection.call(async (client, peer) => {
      const epoch = this.options.epoch();
      if (epoch === undefined || !peer.takesMany) return undefined;
      const keys = chunk.flatMap(({ userId }) => this.options.keys.of(userId));
      const args = [epoch, ...chunk.map(encodeVersion)];
      return await evaluate<number[]>(client, GUARD, keys, args, peer.untracks);
    });
  }

  async #offerMany(entries: readonly Entry[], complete: boolean): Promise<void> {
    const refused: Refused[] = [];
    const unknown: string[] = [];
    let failure: unknown;
    await inLanes(chunksOf(entries), async (chunk) => {
      try {
        if (failure === undefined) refused.push(...await this.#offerAll(chunk, complete));
      } catch (error) {
        failure ??= error;
      }
      if (failure !== undefined) unknown.push(...chunk.map(({ userId }) => userId));
    });
    if (failure === undefined) return this.#report(refused);
    throw new CacheStaleError([...unknown, ...stale(refused)], reasonOf(failure), {
      cause: failure,
    });
  }

  /**
   * Offers a chunk in one round trip; where the server does not let the script run for all of them
   * at once, in another one for each, and where it does not let it run at all in a third one.
   */
  async #offerAll(chunk: readonly Entry[], complete: boolean): Promise<Refused[]> {
    return await this.connection.call(async (client, peer) => {
      if (chunk.length > 1 && peer.takesMany) {
        try {
          return await this.#offer(client, peer, chunk, complete);
        } catch (error) {
          if (!(error instanceof ErrorReply)) throw error;
          if (error.message.startsWith("CROSSSLOT")) peer.takesNoMore();
        }
      }
      const each = chunk.map((entry) => this.#offerOne(client, peer, entry, complete));
      return (await Promise.all(each)).flat();
    });
  }

  async #offerOne(
    client: RedisClient,
    peer: Peer,
    entry: Entry,
    complete: boolean,
  ): Promise<Refused[]> {
    try {
      return await this.#offer(client, peer, [entry], complete);
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
    complete: boolean,
  ): Promise<Refused[]> {
    const epoch = this.options.epoch();
    if (epoch === undefined) {
      await Promise.all(entries.map(({ userId }) => drop(client, peer, this.options.keys, userId)));
      return entries.map(({ userId }) => ({ userId, outcome: "stale", reason: NOBODYS }));
    }
    const notAfterMs = String(peer.nowMs + this.options.callTimeoutMs);
    const keys: string[] = [];
    const args = [complete ? "1" : "0", String(this.options.ttlMs), epoch, notAfterMs];
    for (const entry of entries) {
      keys.push(...this.options.keys.of(entry.userId));
      args.push(entry.value, encodeVersion(entry));
    }
    const answer = await evaluate<string[]>(client, OFFER, keys, args, peer.untracks);
    return refusalsOf(answer).map((refusal) => ({
      ...refusal,
      userId: entries[refusal.index]!.userId,
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

/** Resolves to false when the server refuses the call. */
async function isDone(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof ErrorReply) return false;
    throw error;
  }
}

function stale(refused: readonly Refused[]): string[] {
  return refused.filter(({ outcome }) => outcome === "stale").map(({ userId }) => userId);
}
