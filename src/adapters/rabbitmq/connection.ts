/** Connects to RabbitMQ, again and again, and knows in words for people why it is not there. */
import { Connection } from "rabbitmq-client";
import { type BrokerError, BrokerRefusesError, BrokerUnavailableError } from "../../errors.ts";
import type { BrokerWatcher } from "../../ports/broker.ts";

export interface RabbitmqOptions {
  /** They are tried in turn. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  readonly queue: string;
  /** Without `rootCert`, in PEM, the server's certificate is checked by those of the system. */
  readonly tls: { readonly rootCert: string | undefined } | undefined;
}

/** Who needs a channel while the server is away waits no longer than this. */
const CHANNEL_WITHIN_MS = 3_000;
/** A server that is back is noticed within this. */
const RETRY_MAX_MS = 2_000;
/** A message of 512 KiB goes in few frames. */
const FRAME_BYTES = 128 * 1024;
const HEARTBEAT_S = 10;

/** What the server says when the same would be refused again; the names are of the protocol. */
const REFUSALS: Readonly<Record<string, string>> = {
  ACCESS_REFUSED: "refuses the login or what was asked for",
  NOT_ALLOWED: "does not let this user into the virtual host, or has none of that name",
  PRECONDITION_FAILED: "has the queue with other properties",
  RESOURCE_LOCKED: "has the queue for somebody else alone",
  INVALID_PATH: "has no such virtual host",
};

export class RabbitmqConnection {
  readonly connection: Connection;
  #failure: unknown = new Error("no answer yet");
  #isConnected = false;
  /** The server takes nothing for now, as it lacks memory or disk. */
  #blocked: string | undefined;

  constructor(private readonly options: RabbitmqOptions, watcher: BrokerWatcher) {
    const { hosts, user, password, vhost, tls } = options;
    const [only] = hosts;
    this.connection = new Connection({
      ...(hosts.length === 1
        ? { hostname: only!.host, port: only!.port }
        : { hosts: hosts.map(({ host, port }) => `${host}:${port}`) }),
      username: user,
      password,
      vhost,
      ...(tls !== undefined && { tls: tls.rootCert === undefined ? true : { ca: tls.rootCert } }),
      connectionName: "dsproxy",
      acquireTimeout: CHANNEL_WITHIN_MS,
      frameMax: FRAME_BYTES,
      heartbeat: HEARTBEAT_S,
      retryLow: 100,
      retryHigh: RETRY_MAX_MS,
    });
    this.connection.on("error", (error) => {
      this.#isConnected = false;
      this.#failure = error;
      watcher.onFault(this.wordsFor(error));
    });
    this.connection.on("connection", () => {
      this.#isConnected = true;
      this.#blocked = undefined;
    });
    this.connection.on("connection.blocked", (reason) => this.#blocked = String(reason));
    this.connection.on("connection.unblocked", () => this.#blocked = undefined);
  }

  /** It says why nothing can be asked of the server just now; undefined while it can. */
  get trouble(): BrokerError | undefined {
    if (!this.#isConnected) return this.wordsFor(this.#failure);
    if (this.#blocked === undefined) return undefined;
    return new BrokerUnavailableError(
      `${this.#name} takes no messages for now: ${this.#blocked}`,
    );
  }

  /** Returns what a failure means. It never has the password in it. */
  wordsFor(error: unknown): BrokerError {
    const { code = "", message = String(error) } = error as { code?: string; message?: string };
    // A channel that is waited for in vain has no reason of its own.
    if (code === "TIMEOUT" && !this.#isConnected && this.#failure !== error) {
      return this.wordsFor(this.#failure);
    }
    const { queue, user, vhost } = this.options;
    const refusal = REFUSALS[code];
    if (refusal === undefined) {
      return new BrokerUnavailableError(`${this.#name} is away: ${message}`, { cause: error });
    }
    return new BrokerRefusesError(
      `${this.#name} ${refusal} (user ${user}, virtual host ${vhost}, queue ${queue}): ${message}`,
      { cause: error },
    );
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  get #name(): string {
    return `RabbitMQ at ${this.options.hosts.map(({ host, port }) => `${host}:${port}`).join(",")}`;
  }
}
