/** Receives from the quorum queue, as one of as many workers as there are. */
import { type Consumer as Subscription, ConsumerStatus } from "rabbitmq-client";
import type { BrokerWatcher, Consumer, Received } from "../../ports/broker.ts";
import { RabbitmqConnection, type RabbitmqOptions } from "./connection.ts";
import { topologyOf } from "./topology.ts";

/**
 * So many messages are given to one worker that it has not acknowledged: enough for a batch where
 * each has one write, and at 512 KiB each still bounded.
 */
const PREFETCHED_MAX = 128;

export class RabbitmqConsumer implements Consumer {
  #connection: RabbitmqConnection | undefined;
  #subscription: Subscription | undefined;
  #isReady = false;
  #failure: unknown;
  /** Each of what was given out ends with one of these. */
  readonly #endings = new Set<(status: ConsumerStatus) => void>();

  constructor(private readonly options: RabbitmqOptions, private readonly watcher: BrokerWatcher) {}

  get failure(): string | undefined {
    const connection = this.#connection;
    if (connection === undefined || this.#isReady) return undefined;
    if (this.#failure !== undefined) return connection.wordsFor(this.#failure).message;
    return connection.trouble?.message;
  }

  start(onReceived: (received: Received) => void): void {
    const connection = this.#connection = new RabbitmqConnection(this.options, this.watcher);
    const [dead, queue] = topologyOf(this.options.queue);
    connection.connection.on("error", () => this.#isReady = false);
    connection.connection.on("connection", () => {
      // The other queue has to be there before what is dead goes there.
      connection.connection.queueDeclare(dead).catch(this.#note);
    });
    const subscription = this.#subscription = connection.connection.createConsumer({
      queue: queue.queue,
      queueOptions: queue,
      qos: { prefetchCount: PREFETCHED_MAX },
    }, ({ body }) => this.#give(onReceived, body as Uint8Array));
    subscription.on("ready", () => {
      this.#isReady = true;
      this.#failure = undefined;
    });
    subscription.on("error", this.#note);
  }

  async close(): Promise<void> {
    const closing = this.#subscription?.close();
    // Nobody waits for these any more: others are given them.
    for (const end of this.#endings) end(ConsumerStatus.REQUEUE);
    await closing;
    await this.#connection?.close();
  }

  readonly #note = (error: unknown): void => {
    this.#isReady = false;
    this.#failure = error;
    this.watcher.onFault(this.#connection?.wordsFor(error) ?? error);
  };

  /** Resolves when it is known what became of the message, which the client tells the server. */
  #give(onReceived: (received: Received) => void, bytes: Uint8Array): Promise<ConsumerStatus> {
    const { promise, resolve } = Promise.withResolvers<ConsumerStatus>();
    const end = (status: ConsumerStatus) => {
      this.#endings.delete(end);
      resolve(status);
    };
    this.#endings.add(end);
    onReceived({
      bytes,
      acknowledge: () => end(ConsumerStatus.ACK),
      bury: () => end(ConsumerStatus.DROP),
    });
    return promise;
  }
}
