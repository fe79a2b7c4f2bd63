/** Receives from the quorum queue, as one of as many workers as there are. */
import type { BrokerWatcher, Consumer, Received } from "../../ports/broker.ts";
import { brokerError } from "./faults.ts";
import type { RabbitmqOptions } from "./link.ts";
import { MAX_GIVEN_OUT, Subscription } from "./subscription.ts";
import { Window } from "./window.ts";

const BEGIN_AGAIN_AFTER_MS = 1_000;

export class RabbitmqConsumer implements Consumer {
  readonly maxGivenOut = MAX_GIVEN_OUT;
  readonly #window = new Window(MAX_GIVEN_OUT);
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;
  #failure: string | undefined = "RabbitMQ was not asked yet";
  #subscription: Subscription | undefined;
  #running: Promise<void> | undefined;
  #nextHost = 0;

  constructor(private readonly options: RabbitmqOptions, private readonly watcher: BrokerWatcher) {}

  get failure(): string | undefined {
    return this.#failure;
  }

  start(onReceived: (received: Received) => void): void {
    if (this.#running !== undefined) throw new Error("The consumer was started before");
    this.#running = this.#run(onReceived);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#failure = "the consumer was closed";
    this.#closed.resolve();
    this.#window.dropHeld();
    await this.#subscription?.close();
    await this.#running;
  }

  async #run(onReceived: (received: Received) => void): Promise<void> {
    while (!this.#isClosed) {
      await this.#receive(onReceived);
      await this.#pause();
    }
  }

  /** Resolves when it is over, for whatever reason. */
  async #receive(onReceived: (received: Received) => void): Promise<void> {
    const { hosts } = this.options;
    const host = hosts[this.#nextHost]!;
    this.#nextHost = (this.#nextHost + 1) % hosts.length;
    const subscription = new Subscription(this.options, host, this.#window);
    this.#subscription = subscription;
    let reason: unknown;
    try {
      await subscription.open(onReceived);
      if (!this.#isClosed) this.#failure = undefined;
      reason = await subscription.over;
    } catch (error) {
      reason = error;
    }
    subscription.cut(reason);
    this.#window.dropHeld();
    this.#trouble(brokerError(reason, { ...this.options, hosts: [host] }));
  }

  /** It is told once of what goes on. */
  #trouble(error: Error): void {
    if (this.#isClosed) return;
    if (error.message !== this.#failure) this.watcher.onFault(error);
    this.#failure = error.message;
  }

  async #pause(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const paused = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, BEGIN_AGAIN_AFTER_MS);
    });
    await Promise.race([paused, this.#closed.promise]);
    clearTimeout(timer);
  }
}
