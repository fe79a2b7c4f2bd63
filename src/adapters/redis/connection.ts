/**
 * Is the Redis adapter's one connection: made anew, for ever, whenever it breaks or goes silent. No
 * call waits longer than its deadline, and none is kept for later while there is no connection.
 * What the server's user may not do is done without where that is possible, and said once.
 */
import { ErrorReply } from "@redis/client";
import { CommonDeadline, DeadlineError, lateError, withDeadline } from "../../deadline.ts";
import { reasonOf } from "../../errors.ts";
import { systemClock } from "../../ports/clock.ts";
import {
  type Features,
  openClient,
  type RedisAddress,
  type RedisClient,
  type Target,
  targetOf,
  withoutRefused,
} from "./handshake.ts";
import { Peer } from "./peer.ts";
import { explain, NO_TRACKING } from "./refusals.ts";

export interface ConnectionOptions {
  readonly address: RedisAddress;
  /** It is true when Redis is to say when a key changes that was read over this connection. */
  readonly tracking: boolean;
  readonly callTimeoutMs: number;
  /** It is told that a key changed; null means that any may have, without word of it. */
  readonly onInvalidate: (key: string | null) => void;
  /** It is told that the connection was lost, or could not be made. */
  readonly onError: (error: Error) => void;
  /** It is told once of each thing that is missing and can be done without. */
  readonly onNotice: (message: string) => void;
}

/**
 * TCP, TLS and handshake have so long together: a stopped server still accepts connections, and
 * never greets.
 */
const CONNECT_TIMEOUT_MS = 3000;
/** A restarted server is there again soon … */
const FIRST_RETRY_MS = 50;
/** … and one that is away for long is asked so often, which costs nothing. */
const MAX_RETRY_MS = 2000;
/** A connection that has lasted so long, and answered, is no sign of a server that cuts them all. */
const STEADY_MS = 250;
/**
 * A connection can go silent without breaking; for this long, and a call's deadline, changes by
 * others may be missed.
 */
const HEARTBEAT_MS = 300;
/**
 * So many calls may wait for an answer; more are refused at once. The client's own limit, which
 * counts commands, could come between two that belong together.
 */
const MAX_CALLS = 5_000;

export class Connection {
  readonly #target: Target;
  readonly #server: string;
  readonly #limit: CommonDeadline;
  #firstAttempt: Promise<void> = Promise.resolve();
  readonly #noticed = new Set<string>();
  #features: Features;
  #client: RedisClient;
  #peer: Peer;
  /** It says whether `#client` is connected; if not, it is being connected, or lost. */
  #online = false;
  #connecting: Promise<void> = Promise.resolve();
  #onlineSinceMs = 0;
  #failedAttempts = 0;
  /** What it answers is no sign then that it can be used. */
  #isUnfit = false;
  #outage: Error | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #probing = false;
  #closed = false;

  constructor(private readonly options: ConnectionOptions) {
    this.#target = targetOf(options.address);
    this.#server = `Redis at ${this.#target.label}`;
    this.#limit = new CommonDeadline(
      options.callTimeoutMs,
      systemClock,
      () => lateError(this.#server, options.callTimeoutMs),
    );
    this.#features = { tracking: options.tracking, protocol: 3 };
    [this.#client, this.#peer] = this.#newClient();
  }

  /** Connects, for ever until it is closed. It has to be called once, and first. */
  start(): void {
    this.#firstAttempt = this.#connecting = this.#connect(this.#client);
  }

  /** It is that of the server as it was asked last; see {@link Peer}. */
  get epoch(): string {
    return this.#peer.epoch;
  }

  /** It says whether Redis will tell when something changes that was read. */
  get tracks(): boolean {
    return this.#features.tracking;
  }

  /**
   * Makes a call while there is a connection.
   * @throws Error naming the server and the reason: offline, silent (DeadlineError), or refused by
   *   it
   */
  call<T>(work: (client: RedisClient, peer: Peer) => Promise<T>): Promise<T> {
    if (!this.#online) return this.#callOnceOnline(work);
    const [client, peer] = [this.#client, this.#peer];
    if (this.#limit.waiting >= MAX_CALLS) {
      return Promise.reject(new Error(`${this.#server}: ${MAX_CALLS} calls wait for it already`));
    }
    const answer = this.#limit.within(work(client, peer));
    // Whoever serves loses no time after the next loss, though no heartbeat came in between.
    if (this.#failedAttempts > 0 && !this.#isUnfit && this.#onlineForMs >= STEADY_MS) {
      answer.then(() => this.#failedAttempts = 0, () => {});
    }
    return answer.catch((error) => {
      if (!(error instanceof DeadlineError)) {
        throw this.#isUsed(client) ? this.fault(error) : this.#outage ?? error;
      }
      this.options.onInvalidate(null);
      void this.#probe();
      throw error;
    });
  }

  async #callOnceOnline<T>(work: (client: RedisClient, peer: Peer) => Promise<T>): Promise<T> {
    await withDeadline(this.#firstAttempt, this.options.callTimeoutMs, this.#server);
    if (this.#online) return await this.call(work);
    throw this.#outage ?? new Error(`${this.#server}: the connection is closed`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopUsing(this.#client);
    this.#limit.stop();
    clearTimeout(this.#retryTimer);
    this.#outage = undefined;
    await this.#connecting;
  }

  /**
   * Gives the connection up for something that the server says of itself rather than of a call:
   * another may be behind its name by now.
   */
  giveUp(reason: Error): void {
    if (!this.#online) return;
    this.#isUnfit = true;
    this.#lose(reason);
  }

  /** Passes on what the service can do without, once. */
  notice(message: string): void {
    if (this.#noticed.has(message)) return;
    this.#noticed.add(message);
    this.options.onNotice(`${this.#server} ${message}`);
  }

  /** Names the server, and what to do where that is known. */
  fault(error: unknown): Error {
    return new Error(`${this.#server}: ${explain(reasonOf(error))}`, { cause: error });
  }

  #newClient(): [RedisClient, Peer] {
    const client = openClient(this.#target, this.#features);
    client.on("error", (error) => this.#isUsed(client) && this.#lose(error));
    client.on("invalidate", (key: { toString(): string } | null) => {
      this.options.onInvalidate(key === null ? null : key.toString());
    });
    return [client, new Peer(client, (message) => this.notice(message))];
  }

  get #onlineForMs(): number {
    return systemClock.monotonicMs() - this.#onlineSinceMs;
  }

  #isUsed(client: RedisClient): boolean {
    return this.#online && this.#client === client;
  }

  async #connect(client: RedisClient): Promise<void> {
    const attempt = client.connect().then(() =>
      this.#peer.greet(this.#target.database, this.#features.tracking)
    );
    try {
      await withDeadline(attempt, CONNECT_TIMEOUT_MS, "the handshake");
    } catch (error) {
      // One destroyed while its TCP connection was being made finishes that all the same.
      attempt.then(() => client.destroy(), () => {});
      return await this.#connectWithLess(client, error);
    }
    if (this.#closed) return client.destroy();
    this.#online = true;
    this.#onlineSinceMs = systemClock.monotonicMs();
    this.#heartbeat = setInterval(() => void this.#probe(), HEARTBEAT_MS);
  }

  /**
   * Connects again without what the handshake was refused for; when that was nothing in particular,
   * later.
   */
  async #connectWithLess(client: RedisClient, error: unknown): Promise<void> {
    const features = this.#closed ? undefined : withoutRefused(this.#features, error);
    if (features === undefined) return this.#lose(error);
    client.destroy();
    if (this.#features.tracking) this.notice(`${NO_TRACKING}: ${explain(reasonOf(error))}`);
    this.#features = features;
    [this.#client, this.#peer] = this.#newClient();
    await this.#connect(this.#client);
  }

  #lose(error: unknown): void {
    this.#stopUsing(this.#client);
    if (this.#closed) return;
    this.#outage = this.fault(error);
    this.options.onError(this.#outage);
    const limitMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failedAttempts++);
    this.#retryTimer = setTimeout(() => {
      // What was refused then may be allowed now.
      this.#features = { tracking: this.options.tracking, protocol: 3 };
      [this.#client, this.#peer] = this.#newClient();
      this.#connecting = this.#connect(this.#client);
    }, limitMs * (0.5 + Math.random() / 2));
  }

  #stopUsing(client: RedisClient): void {
    this.#online = false;
    clearInterval(this.#heartbeat);
    client.destroy();
    this.options.onInvalidate(null);
  }

  /**
   * Asks for a sign of life, with a deadline of its own: the one that passed may have been spent
   * waiting for this process.
   */
  async #probe(): Promise<void> {
    const client = this.#client;
    if (this.#probing || !this.#isUsed(client)) return;
    this.#probing = true;
    try {
      await withDeadline(this.#peer.refresh(), this.options.callTimeoutMs, "TIME");
      // This comes when something was answered, not when the connection was made: a server that
      // takes connections, and refuses what is asked of them, is not asked for ever.
      if (this.#isUnfit && this.#onlineForMs < MAX_RETRY_MS) return;
      this.#failedAttempts = 0;
      this.#isUnfit = false;
    } catch (error) {
      // A refusal is a sign of life, too.
      if (!(error instanceof ErrorReply) && this.#isUsed(client)) this.#lose(error);
    } finally {
      this.#probing = false;
    }
  }
}
