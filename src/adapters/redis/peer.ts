/**
 * Knows the server at the other end of a connection: who it is, which run of it answers, and its
 * time.
 */
import { ErrorReply } from "@redis/client";
import type { RedisClient } from "./handshake.ts";
import { unfitness } from "./refusals.ts";

/**
 * Refuses a server that answers, and can never be the cache as it is: a node of a Cluster, a
 * Sentinel, a replica.
 */
class UnfitServerError extends Error {
  override readonly name = "UnfitServerError";
}

const NOTICES = {
  INFO: "forbids INFO (the user's ACL lacks +info): a restart or a failover that brings back " +
    "older data goes unnoticed",
  TIME: "forbids TIME (the user's ACL lacks +time): an update that it comes to late, after a " +
    "freeze, may put back an older copy",
  CACHING:
    "has no CLIENT CACHING for this user (the user's ACL lacks +client|caching): each user " +
    "is updated by a call of its own, which costs it twice the work and more",
} as const;

/** It stands where the server does not say which run it is. */
const UNKNOWN = "0000";

export class Peer {
  #run = UNKNOWN;
  #history = UNKNOWN;
  #aheadMs = 0;
  #isSingle = false;
  #untracks = false;
  readonly #forbidden = new Set<keyof typeof NOTICES>();

  /**
   * @param onForbidden told of each command that the user may not call, and that can be done
   * without
   */
  constructor(
    private readonly client: RedisClient,
    private readonly onForbidden: (notice: string) => void,
  ) {}

  /**
   * It says which run of which server answers, in 8 characters, and which history of data that
   * follows: it is another one after a restart or a failover. What is there from before may be
   * older than what had been confirmed.
   */
  get epoch(): string {
    return this.#run + this.#history;
  }

  /**
   * It says whether a script may have the keys of many users. Only a server that says that it is
   * one does: an endpoint before many of them might run the script where some keys are not.
   */
  get takesMany(): boolean {
    return this.#isSingle;
  }

  /** The server has refused the keys of many users for being at different places. */
  takesNoMore(): void {
    this.#isSingle = false;
  }

  /**
   * It says whether the server can be told not to watch the keys of a script; see
   * {@link evaluate}.
   */
  get untracks(): boolean {
    return this.#untracks;
  }

  /** It is in Unix milliseconds, ahead by up to a call's deadline, and never behind. */
  get nowMs(): number {
    return Math.ceil(performance.now() + this.#aheadMs);
  }

  /**
   * Meets the server and chooses the database.
   * @param isTracking the server says when something changes that was read
   * @throws UnfitServerError, or the server's refusal of the database
   */
  async greet(database: number | undefined, isTracking: boolean): Promise<void> {
    const info = await this.#info("server");
    this.#run = /^run_id:([0-9a-f]{4})/m.exec(info)?.[1] ?? UNKNOWN;
    if (database) await this.client.sendCommand(["SELECT", String(database)]);
    if (isTracking) this.#untracks = await this.#trackUnlessTold();
    // Redis 6 takes a list of all keys of a script for each that the script reads and is watched.
    this.#isSingle = /^(redis|server)_mode:standalone/m.test(info) &&
      this.#untracks === isTracking;
    await this.refresh();
  }

  /** Makes the server watch what is read unless it is told not to; returns false when it cannot. */
  async #trackUnlessTold(): Promise<boolean> {
    const client = (...args: string[]) => this.client.sendCommand(["CLIENT", ...args]);
    // It does not go over from one way to the other.
    const [, , untracks] = await Promise.all([
      client("TRACKING", "OFF"),
      client("TRACKING", "ON", "OPTOUT"),
      client("CACHING", "NO").then(() => true, (error) => {
        ignoreReply(error);
        this.onForbidden(NOTICES.CACHING);
        return false;
      }),
    ]);
    return untracks;
  }

  /**
   * Asks again who the server is: any answer, a refusal too, is a sign of life.
   * @throws UnfitServerError when it has become one
   */
  async refresh(): Promise<void> {
    const [info] = await Promise.all([this.#info("replication"), this.#readClock()]);
    this.#history = /^master_replid:([0-9a-f]{4})/m.exec(info)?.[1] ?? UNKNOWN;
  }

  async #info(section: string): Promise<string> {
    const info = await this.#ask<string>("INFO", section) ?? "";
    const reason = unfitness(info);
    if (reason !== undefined) throw new UnfitServerError(reason);
    return info;
  }

  async #readClock(): Promise<void> {
    const askedMs = performance.now();
    const time = await this.#ask<[string, string]>("TIME");
    if (time === undefined) await this.client.sendCommand(["PING"]).catch(ignoreReply);
    else this.#aheadMs = Number(time[0]) * 1000 + Number(time[1]) / 1000 - askedMs;
  }

  /**
   * Asks a command; returns undefined when it is forbidden, which is said once, and not asked again
   * over this connection.
   */
  async #ask<T>(command: keyof typeof NOTICES, ...args: string[]): Promise<T | undefined> {
    if (this.#forbidden.has(command)) return undefined;
    try {
      return await this.client.sendCommand<T>([command, ...args]);
    } catch (error) {
      ignoreReply(error);
      this.#forbidden.add(command);
      this.onForbidden(NOTICES[command]);
    }
  }
}

function ignoreReply(error: unknown): void {
  if (!(error instanceof ErrorReply)) throw error;
}
