/** A connection over which messages are published, and confirmed by the server. */
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers";
import type { Channel } from "rabbitmq-client";
import { BrokerUnavailableError } from "../../errors.ts";
import { type Host, Link, type RabbitmqOptions } from "./link.ts";

/** There was no queue for a message. */
export class UnroutableError extends BrokerUnavailableError {}

interface UnderWay {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Outlet {
  readonly #link: Link;
  #channel: Channel | undefined;
  /** By number; each is taken out by the first who knows what became of it. */
  readonly #underWay = new Map<string, UnderWay>();
  #lastNumber = 0;

  constructor(private readonly options: RabbitmqOptions, host: Host) {
    this.#link = new Link(options, host, (reason) => this.#rejectAll(blockedError(reason)));
    this.#link.over.then((reason) => this.#rejectAll(reason));
  }

  /** It resolves to the reason when it is over. */
  get over(): Promise<unknown> {
    return this.#link.over;
  }

  async open(): Promise<void> {
    await this.#link.open();
    const channel = await this.#link.mainChannel();
    channel.on("basic.return", ({ messageId }) => this.#returned(String(messageId)));
    await this.#link.inTime(channel.confirmSelect());
    this.#channel = channel;
  }

  declare(): Promise<void> {
    if (this.#link.blocked !== undefined) return Promise.reject(blockedError(this.#link.blocked));
    return this.#link.declare();
  }

  /** Resolves when the server has confirmed that the queue has it. */
  send(bytes: Uint8Array): Promise<void> {
    // The client would keep it until the server takes messages again.
    if (this.#link.blocked !== undefined) return Promise.reject(blockedError(this.#link.blocked));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const messageId = String(++this.#lastNumber);
    this.#underWay.set(messageId, { resolve, reject });
    const envelope = { routingKey: this.options.queue, durable: true, mandatory: true, messageId };
    this.#channel!.basicPublish(envelope, bufferOf(bytes)).then(
      // What had no queue is confirmed, too: it came back before that, but is told a turn later.
      () => setImmediate(() => this.#take(messageId)?.resolve()),
      (error) => this.#take(messageId)?.reject(error),
    );
    return promise;
  }

  cut(reason: unknown): void {
    this.#link.cut(reason);
  }

  /** Rejects what is under way, and ends it in order. */
  async close(reason: unknown): Promise<void> {
    this.#rejectAll(reason);
    await this.#link.close();
  }

  #take(messageId: string): UnderWay | undefined {
    const found = this.#underWay.get(messageId);
    this.#underWay.delete(messageId);
    return found;
  }

  #returned(messageId: string): void {
    this.#take(messageId)?.reject(
      new UnroutableError(
        `RabbitMQ has no queue ${this.options.queue} in the virtual host ${this.options.vhost}; ` +
          "it is declared again",
      ),
    );
  }

  #rejectAll(reason: unknown): void {
    for (const messageId of [...this.#underWay.keys()]) this.#take(messageId)?.reject(reason);
  }
}

function blockedError(reason: string): BrokerUnavailableError {
  return new BrokerUnavailableError(`RabbitMQ takes no messages for now: ${reason}`);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
