/** Publishes to the quorum queue, and waits until a majority of its servers has it on disk. */
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers";
import { BrokerUnavailableError } from "../../errors.ts";
import type { BrokerMessage, BrokerWatcher, Publisher } from "../../ports/broker.ts";
import { withDeadline } from "../../deadline.ts";
import { RabbitmqConnection, type RabbitmqOptions } from "./connection.ts";
import { topologyOf } from "./topology.ts";

/** The client has none of its own for a confirm. */
const CONFIRMED_WITHIN_MS = 10_000;

type Sender = ReturnType<RabbitmqConnection["connection"]["createPublisher"]>;

export class RabbitmqPublisher implements Publisher {
  #connected: RabbitmqConnection | undefined;
  #sender: Sender | undefined;
  readonly #closing = Promise.withResolvers<never>();
  #isClosed = false;
  /** Messages are numbered, so that one that comes back is known. */
  #lastNumber = 0;
  readonly #returned = new Set<string>();

  constructor(private readonly options: RabbitmqOptions, private readonly watcher: BrokerWatcher) {
    // Nobody may be waiting when it is closed.
    this.#closing.promise.catch(() => {});
  }

  async publish({ bytes }: BrokerMessage): Promise<void> {
    const connection = this.#connection;
    const sender = this.#sender!;
    const { trouble } = connection;
    const messageId = String(++this.#lastNumber);
    const envelope = { routingKey: this.options.queue, durable: true, mandatory: true, messageId };
    // What is blocked would wait in memory, and the first call of all makes the connection.
    if (trouble !== undefined && this.#lastNumber > 1) await this.#connect(connection);
    await this.#within(connection, () => sender.send(envelope, toBuffer(bytes)));
    // The server says that nobody has it before it confirms; the client tells of that a little later.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.#returned.delete(messageId)) {
      // The next one declares it anew.
      await this.#declare(connection);
      throw new BrokerUnavailableError(
        `RabbitMQ had no queue ${this.options.queue} to put a message into; it is declared again`,
      );
    }
  }

  async ping(): Promise<void> {
    await this.#declare(this.#connection);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closing.reject(new BrokerUnavailableError("The connection to RabbitMQ is being closed"));
    const connection = this.#connected;
    if (connection === undefined) return;
    // What is under way was rejected; waiting for its confirms could take for ever.
    connection.connection.unsafeDestroy();
    await this.#sender?.close().catch(() => {});
  }

  get #connection(): RabbitmqConnection {
    if (this.#isClosed) throw new BrokerUnavailableError("The connection to RabbitMQ is closed");
    if (this.#connected === undefined) {
      const made = this.#connected = new RabbitmqConnection(this.options, this.watcher);
      const sender = this.#sender = made.connection.createPublisher({
        confirm: true,
        queues: topologyOf(this.options.queue),
      });
      sender.on("basic.return", ({ messageId }) => this.#returned.add(String(messageId)));
    }
    return this.#connected;
  }

  /** Waits for a connection as long as for a channel, so that nothing is kept for later. */
  async #connect(connection: RabbitmqConnection): Promise<void> {
    await this.#within(connection, async () => {
      const channel = await connection.connection.acquire();
      await channel.close();
    });
    if (connection.trouble !== undefined) throw connection.trouble;
  }

  async #declare(connection: RabbitmqConnection): Promise<void> {
    await this.#within(connection, async () => {
      const channel = await connection.connection.acquire();
      try {
        for (const queue of topologyOf(this.options.queue)) await channel.queueDeclare(queue);
      } finally {
        await channel.close();
      }
    });
  }

  async #within<T>(connection: RabbitmqConnection, work: () => Promise<T>): Promise<T> {
    try {
      return await Promise.race([
        withDeadline(work(), CONFIRMED_WITHIN_MS, "RabbitMQ"),
        this.#closing.promise,
      ]);
    } catch (error) {
      throw error instanceof BrokerUnavailableError ? error : connection.wordsFor(error);
    }
  }
}

function toBuffer(bytes: Uint8Array) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
