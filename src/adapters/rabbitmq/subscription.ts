/** One connection over which messages are received, from its beginning to its end. */
import type { AsyncMessage, Channel } from "rabbitmq-client";
import type { Received } from "../../ports/broker.ts";
import { type Host, Link, type RabbitmqOptions } from "./link.ts";
import type { Window } from "./window.ts";

/** So many messages are given out that are neither acknowledged nor buried. */
export const MAX_GIVEN_OUT = 64;

export class Subscription {
  readonly #link: Link;
  #isClosing = false;
  #cancel = (): Promise<unknown> => Promise.resolve();

  constructor(
    private readonly options: RabbitmqOptions,
    host: Host,
    private readonly window: Window,
  ) {
    this.#link = new Link(options, host);
  }

  /** Resolves when messages may come. */
  async open(onReceived: (received: Received) => void): Promise<void> {
    await this.#link.open();
    const channel = await this.#link.mainChannel();
    channel.on("basic.cancel", () => {
      this.#link.cut(new Error(`the queue ${this.options.queue} was removed`));
    });
    await this.#link.inTime(channel.basicQos({ prefetchCount: MAX_GIVEN_OUT }));
    const consuming = channel.basicConsume({ queue: this.options.queue }, (message) => {
      // It is given to others when the channel ends.
      if (this.#isClosing) return;
      this.window.giveOut(() => onReceived(this.#received(channel, message)));
    });
    const { consumerTag } = await this.#link.inTime(consuming);
    this.#cancel = () => channel.basicCancel(consumerTag);
  }

  /** It resolves to the reason when it is over. */
  get over(): Promise<unknown> {
    return this.#link.over;
  }

  cut(reason: unknown): void {
    this.#link.cut(reason);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    // The server has acted on all that was said of messages when it answers to this: what it had
    // not come to would be lost with the channel.
    await this.#link.close(() => this.#cancel());
  }

  #received(channel: Channel, { body, deliveryTag }: AsyncMessage): Received {
    let isOut = true;
    const settle = (tell: () => void) => {
      if (!isOut) return;
      isOut = false;
      // The number of a message means another one on any other channel.
      if (channel.active) tell();
      this.window.free();
    };
    return {
      bytes: bytesOf(body),
      acknowledge: () => settle(() => channel.basicAck({ deliveryTag })),
      // There is no place for a reason: it is told by whoever gives it.
      bury: () => settle(() => channel.basicNack({ deliveryTag, requeue: false })),
    };
  }
}

/** The client has read it already where somebody else has sent text. */
function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) {
    return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  }
  return new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
}
