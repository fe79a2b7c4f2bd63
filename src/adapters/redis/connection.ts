/**
 * The Redis adapter's one connection: made anew, for ever, whenever it breaks or goes silent. No call waits longer than its
 * deadline, and none is kept for later while there is no connection. Needs Redis 6 or newer, for RESP3.
 */
import { createClient, ErrorReply, RedisClient as RedisPackage } from "@redis/client";
import { DeadlineError, withDeadline } from "../../deadline.ts";
import { reasonOf } from "../../errors.ts";

export interface RedisAddress {
  /** `redis[s]://[[user][:password]@]host[:port][/database]`, or `unix://…`; what it says wins over the other members. */
  readonly url?: string;
  /** Default `localhost`. */
  readonly host?: string;
  /** Default 6379. */
  readonly port?: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: boolean;
  readonly database?: number;
}

export interface ConnectionOptions {
  readonly address: RedisAddress;
  /** Ask Redis to say when a key changes that was read over this connection. */
  readonly tracking: boolean;
  readonly callTimeoutMs: number;
  /** A key changed; null: any may have, without word of it. */
  readonly onInvalidate: (key: string | null) => void;
  /** The connection was lost, or could not be made. */
  readonly onError: (error: Error) => void;
}

export type RedisClient = ReturnType<typeof openClient>;

const TCP_TIMEOUT_MS = 2000;
/** TCP, TLS and handshake together: a stopped server still accepts connections, and never greets. */
const CONNECT_TIMEOUT_MS = 3000;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2000;
/** A connection can go silent without breaking; for this long, and a call's deadline, changes by others may be missed. */
const HEARTBEAT_MS = 1000;
const EPOCH_LENGTH = 8;
/** Where the server does not say which run it is: then a restart that brings back old data goes unnoticed. */
const UNKNOWN_EPOCH = "0".repeat(EPOCH_LENGTH);
/** Commands written or waiting to be; more are refused at once. */
const MAX_QUEUED_COMMANDS = 10_000;

export class Connection {
  readonly #target: Target;
  readonly #server: string;
  readonly #firstAttempt: Promise<void>;
  #client: RedisClient;
  /** Whether `#client` is connected; if not, it is being connected, or lost. */
  #online = false;
  #connecting: Promise<void>;
  #failedAttempts = 0;
  #outage: Error | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #probing = false;
  #closed = false;
  #epoch = UNKNOWN_EPOCH;
  #serverAheadMs = 0;

  constructor(private readonly options: ConnectionOptions) {
    this.#target = targetOf(options.address);
    this.#server = `Redis at ${this.#target.label}`;
    this.#client = this.#newClient();
    this.#firstAttempt = this.#connecting = this.#connect(this.#client);
  }

  /**
   * Which run of which server answers, as {@link EPOCH_LENGTH} characters. Another one after a restart or a failover: what it
   * has from before may be older than what its predecessor had confirmed.
   */
  get epoch(): string {
    return this.#epoch;
  }

  /** The server's time, Unix milliseconds; ahead by up to a call's deadline, never behind. */
  get serverNowMs(): number {
    return Math.ceil(performance.now() + this.#serverAheadMs);
  }

  /** @throws Error naming the server and the reason: offline, silent (DeadlineError), or refused by it. */
  async call<T>(work: (client: RedisClient) => Promise<T>): Promise<T> {
    if (!this.#online) await withDeadline(this.#firstAttempt, this.options.callTimeoutMs, this.#server);
    const client = this.#client;
    if (!this.#online) throw this.#outage ?? new Error(`${this.#server}: the connection is closed`);
    try {
      return await withDeadline(work(client), this.options.callTimeoutMs, this.#server);
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw this.#isUsed(client) ? this.#fault(error) : this.#outage ?? error;
      this.options.onInvalidate(null);
      void this.#probe();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopUsing(this.#client);
    clearTimeout(this.#retryTimer);
    this.#outage = undefined;
    await this.#connecting;
  }

  #newClient(): RedisClient {
    const client = openClient(this.#target, this.options.tracking);
    client.on("error", (error) => this.#isUsed(client) && this.#lose(error));
    client.on("invalidate", (key: { toString(): string } | null) => {
      this.options.onInvalidate(key === null ? null : key.toString());
    });
    return client;
  }

  #isUsed(client: RedisClient): boolean {
    return this.#online && this.#client === client;
  }

  async #connect(client: RedisClient): Promise<void> {
    const attempt = client.connect().then(() => this.#greet(client));
    try {
      await withDeadline(attempt, CONNECT_TIMEOUT_MS, "the handshake");
    } catch (error) {
      // One destroyed while its TCP connection was being made finishes that all the same.
      attempt.then(() => client.destroy(), () => {});
      return this.#lose(error);
    }
    if (this.#closed) return client.destroy();
    this.#online = true;
    this.#failedAttempts = 0;
    this.#heartbeat = setInterval(() => void this.#probe(), HEARTBEAT_MS);
  }

  async #greet(client: RedisClient): Promise<void> {
    const asked = client.sendCommand<string>(["INFO", "server"]).catch((error) => {
      if (error instanceof ErrorReply) return ""; // Some hosted servers forbid it.
      throw error;
    });
    const [info] = await Promise.all([asked, this.#readClock(client)]);
    this.#epoch = /run_id:([0-9a-f]{8})/.exec(info)?.[1] ?? UNKNOWN_EPOCH;
  }

  async #readClock(client: RedisClient): Promise<void> {
    const askedMs = performance.now();
    const [seconds, microseconds] = await client.sendCommand<[string, string]>(["TIME"]);
    this.#serverAheadMs = Number(seconds) * 1000 + Number(microseconds) / 1000 - askedMs;
  }

  #lose(error: unknown): void {
    this.#stopUsing(this.#client);
    if (this.#closed) return;
    this.#outage = this.#fault(error);
    this.options.onError(this.#outage);
    const limitMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failedAttempts++);
    this.#retryTimer = setTimeout(() => {
      this.#client = this.#newClient();
      this.#connecting = this.#connect(this.#client);
    }, limitMs * (0.5 + Math.random() / 2));
  }

  #stopUsing(client: RedisClient): void {
    this.#online = false;
    clearInterval(this.#heartbeat);
    client.destroy();
    this.options.onInvalidate(null);
  }

  /** Asks for a sign of life, with a deadline of its own: the one that passed may have been spent waiting for this process. */
  async #probe(): Promise<void> {
    const client = this.#client;
    if (this.#probing || !this.#isUsed(client)) return;
    this.#probing = true;
    try {
      await withDeadline(this.#readClock(client), this.options.callTimeoutMs, "TIME");
    } catch (error) {
      // A refusal is a sign of life, too.
      if (!(error instanceof ErrorReply) && this.#isUsed(client)) this.#lose(error);
    } finally {
      this.#probing = false;
    }
  }

  #fault(error: unknown): Error {
    return new Error(`${this.#server}: ${reasonOf(error)}`, { cause: error });
  }
}

function openClient(target: Target, tracking: boolean) {
  const { socket, username, password, database } = target;
  return createClient({
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(database !== undefined && { database }),
    socket: { ...socket, connectTimeout: TCP_TIMEOUT_MS, reconnectStrategy: false },
    name: "dsproxy",
    RESP: 3,
    emitInvalidate: tracking,
    commandsQueueMaxLength: MAX_QUEUED_COMMANDS,
    disableOfflineQueue: true,
    // No timer a command: its own covers only what is not yet written.
    commandOptions: { timeout: 0 },
    disableClientInfo: true,
    maintNotifications: "disabled",
  });
}

type Target = ReturnType<typeof targetOf>;

/** What to connect to, from the URL where there is one; a password may stand beside it. */
function targetOf({ url, host = "localhost", port = 6379, tls = false, ...given }: RedisAddress) {
  const fromUrl = url === undefined ? undefined : RedisPackage.parseURL(url);
  const socket = fromUrl?.socket ?? (tls ? { host, port, tls } : { host, port, tls });
  return {
    socket,
    username: fromUrl?.username ?? given.username,
    password: fromUrl?.password ?? given.password,
    database: fromUrl?.database ?? given.database,
    label: "path" in socket ? socket.path : `${socket.host}:${socket.port ?? 6379}`,
  };
}
