/** A broker in memory, both of its ends: tests decide what becomes of each message. */
import { BrokerUnavailableError } from "../../src/errors.ts";
import type { BrokerMessage, Consumer, Publisher, Received } from "../../src/ports/broker.ts";

interface Published extends BrokerMessage {
  readonly confirm: () => void;
  readonly fail: (error?: Error) => void;
}

export class FakePublisher implements Publisher {
  /** In the order of the calls, whatever became of them. */
  readonly published: Published[] = [];
  /** While this is so, messages are confirmed as they come. */
  confirmsAtOnce = true;
  /** While there is one, messages fail with it as they come. */
  failWith: Error | undefined;

  publish(message: BrokerMessage): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.published.push({
      ...message,
      confirm: resolve,
      fail: (error = new BrokerUnavailableError("The broker is away.")) => reject(error),
    });
    if (this.failWith !== undefined) reject(this.failWith);
    else if (this.confirmsAtOnce) resolve();
    return promise;
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export class FakeConsumer implements Consumer {
  readonly maxGivenOut = 8;
  failure: string | undefined;
  acknowledged: Uint8Array[] = [];
  buried: { readonly bytes: Uint8Array; readonly reason: string }[] = [];
  isClosed = false;
  #onReceived: ((received: Received) => void) | undefined;

  start(onReceived: (received: Received) => void): void {
    this.#onReceived = onReceived;
  }

  /** Gives a message to who consumes; the same one as often as it is called with it. */
  give(bytes: Uint8Array): void {
    let isOver = false;
    const once = (what: () => void) => () => {
      if (isOver) throw new Error("The broker was told twice what became of a message");
      isOver = true;
      what();
    };
    this.#onReceived?.({
      bytes,
      acknowledge: once(() => this.acknowledged.push(bytes)),
      bury: (reason) => once(() => this.buried.push({ bytes, reason }))(),
    });
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
