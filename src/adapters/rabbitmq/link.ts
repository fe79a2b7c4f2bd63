/**
 * One connection to one server, from its beginning to its end. The client would make it anew by
 * itself, and then tells of its first failure alone, waits for more than it has to, and cannot read
 * addresses of IPv6 where there are several: so each of its connections is used once.
 */
import { isIP } from "node:net";
import { type Channel, Connection } from "rabbitmq-client";
import { BrokerUnavailableError } from "../../errors.ts";
import { withDeadline } from "../../deadline.ts";
import { declareQueues } from "./topology.ts";

export interface Host {
  readonly host: string;
  readonly port: number;
}

export interface RabbitmqOptions {
  /** They are tried in turn. */
  readonly hosts: readonly Host[];
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  readonly queue: string;
  /** The certificates, in PEM, are those by which the server's is checked. */
  readonly tls: { readonly rootCert: string | undefined } | undefined;
  /** A call waits for so long; the default is {@link CALL_TIMEOUT_MS}. */
  readonly callTimeoutMs?: number;
}

export const CALL_TIMEOUT_MS = 10_000;
/** Of several servers another one is tried then. */
const CONNECT_LIMIT_MS = 3_000;
/** Of a connection that is not needed any more nobody waits for longer. */
const CLOSE_LIMIT_MS = 2_000;
/** A server that says nothing for twice as long is given up. */
const HEARTBEAT_S = 10;
/**
 * The client counts the frames of a message by this number, whatever the server answers to it: so it
 * is the one that no server may go below.
 */
const FRAME_BYTES = 8_192;

export class Link {
  readonly #connection: Connection;
  readonly #channels = new Set<Channel>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #over = Promise.withResolvers<unknown>();
  #isOver = false;
  #blocked: string | undefined;

  /** @param onBlocked is told that the server takes no messages for now, and why */
  constructor(
    private readonly options: RabbitmqOptions,
    host: Host,
    onBlocked: (reason: string) => void = () => {},
  ) {
    this.#opened.promise.catch(() => {}); // Perhaps nobody waits for it any more.
    this.#connection = new Connection(connectionOptions(options, host));
    this.#connection.on("error", (error) => this.cut(error));
    this.#connection.on("connection", () => this.#opened.resolve());
    this.#connection.on("connection.blocked", (reason) => {
      this.#blocked = String(reason);
      onBlocked(this.#blocked);
    });
    this.#connection.on("connection.unblocked", () => this.#blocked = undefined);
  }

  /** It resolves to the reason when the connection is over. */
  get over(): Promise<unknown> {
    return this.#over.promise;
  }

  /** Why the server takes no messages for now, if so. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Resolves when the server has let the user in and its queues are there. */
  async open(): Promise<void> {
    await this.#opened.promise;
    await this.declare();
  }

  /** It has a channel of its own, which ends where the server refuses. */
  async declare(): Promise<void> {
    const channel = await this.#channel();
    try {
      await this.inTime(declareQueues(channel, this.options.queue));
    } finally {
      this.inTime(channel.close()).catch((error) => this.cut(error));
    }
  }

  /** The connection is over when this channel is. */
  async mainChannel(): Promise<Channel> {
    const channel = await this.#channel();
    let reason: unknown = new Error("the channel was closed");
    channel.on("error", (error) => reason = error);
    // Where it is the connection that was lost, it says so itself right after this.
    channel.on("close", () => queueMicrotask(() => this.cut(reason)));
    return channel;
  }

  /** Rejects when the server takes longer than a call may. */
  inTime<T>(work: Promise<T>): Promise<T> {
    return withDeadline(work, this.options.callTimeoutMs ?? CALL_TIMEOUT_MS, "the server");
  }

  /** Ends it at once; whatever waits for it is rejected. */
  cut(reason: unknown): void {
    this.#isOver = true;
    this.#connection.unsafeDestroy();
    this.#opened.reject(reason);
    this.#over.resolve(reason);
  }

  /** Ends it in order, as long as the server takes part; `takeLeave` comes first. */
  async close(takeLeave: () => Promise<unknown> = () => Promise.resolve()): Promise<void> {
    if (!this.#isOver) {
      const inOrder = async () => {
        await takeLeave();
        await Promise.all([...this.#channels].map((channel) => channel.close()));
        await this.#connection.close();
      };
      await withDeadline(inOrder(), CLOSE_LIMIT_MS, "closing").catch(() => {
        // It is cut off.
      });
    }
    this.cut(new BrokerUnavailableError("The connection to RabbitMQ was closed"));
  }

  async #channel(): Promise<Channel> {
    const channel = await this.inTime(this.#connection.acquire({ emitErrorsFromChannel: true }));
    this.#channels.add(channel);
    // An error comes right before the end of the channel.
    channel.on("error", () => {});
    channel.on("close", () => this.#channels.delete(channel));
    return channel;
  }
}

function connectionOptions(options: RabbitmqOptions, { host, port }: Host) {
  const { user, password, vhost, tls, callTimeoutMs = CALL_TIMEOUT_MS } = options;
  return {
    hostname: host,
    port,
    username: user,
    password,
    vhost,
    ...(tls !== undefined && {
      tls: {
        ...(isIP(host) === 0 && { servername: host }),
        ...(tls.rootCert !== undefined && { ca: tls.rootCert }),
      },
    }),
    connectionName: "dsproxy",
    connectionTimeout: Math.min(CONNECT_LIMIT_MS, callTimeoutMs),
    acquireTimeout: callTimeoutMs,
    frameMax: FRAME_BYTES,
    heartbeat: HEARTBEAT_S,
    // Its small messages, such as acknowledgements, wait for nothing.
    noDelay: true,
  };
}
