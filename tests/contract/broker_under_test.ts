/** What the suite of brokers needs of the thing it is run over, and how it looks at it. */
import type { Consumer, Publisher, Received } from "../../src/ports/broker.ts";
import { eventually } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";

/** A real server, which only one test at a time uses. */
export interface BrokerServer extends AsyncDisposable {
  start(): Promise<void>;
  /** Ends it at once, as a power cut would; what it has confirmed is there after the next start. */
  kill(): Promise<void>;
  /** Freezes it: connections are still accepted, but nothing is answered. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Returns a queue, or a topic, that is not there yet; `overrides` are for its password. */
  makePlace(overrides?: { readonly password?: string }): BrokerPlace;
}

export type TestOfBroker = (
  behaviour: string,
  run: (ends: Ends, server: BrokerServer) => Promise<void>,
) => void;

/** Where messages go, and who puts them there; the calls of all wait for {@link CALL_LIMIT_MS}. */
export interface BrokerPlace {
  makePublisher(): Publisher;
  makeConsumer(): Consumer;
  /** What is among the broker's dead letters, in any order; it stays there. */
  buried(): Promise<readonly Buried[]>;
}

export interface Buried {
  readonly bytes: Uint8Array;
  /** Undefined where the broker has no room for one. */
  readonly reason?: string;
}

/** Ends of a place are to be made so that no call of theirs takes longer. */
export const CALL_LIMIT_MS = 4_000;
/** Nothing more comes when nothing came for so long. */
export const SILENCE_MS = 1_500;

/** The ends of one place, all of which are closed with it. */
export class Ends extends AsyncDisposableStack {
  constructor(readonly place: BrokerPlace) {
    super();
  }

  publisher(): Publisher {
    const publisher = this.place.makePublisher();
    this.defer(() => publisher.close());
    return publisher;
  }

  /** @param settle acknowledges everything where it is not given */
  worker(settle?: (received: Received, text: string) => void): Worker {
    const worker = new Worker(this.place.makeConsumer(), settle);
    this.defer(() => worker.close());
    return worker;
  }
}

export class Worker {
  readonly received: Received[] = [];
  #closing: Promise<void> | undefined;

  constructor(
    readonly consumer: Consumer,
    settle: (received: Received, text: string) => void = (received) => received.acknowledge(),
  ) {
    consumer.start((received) => {
      this.received.push(received);
      settle(received, textOf(received.bytes));
    });
  }

  /** In the order in which it was given them. */
  get given(): readonly Uint8Array[] {
    // Some clients have a class of their own for bytes.
    return this.received.map(({ bytes }) => new Uint8Array(bytes));
  }

  get texts(): readonly string[] {
    return this.given.map(textOf);
  }

  async until(count: number): Promise<void> {
    await eventually(
      `${count} messages are given`,
      () => Promise.resolve(this.received.length >= count),
    );
  }

  async untilReady(): Promise<void> {
    await eventually(
      "it receives",
      () => Promise.resolve(this.consumer.failure === undefined),
    );
  }

  async untilSilent(): Promise<void> {
    for (let before = -1; before !== this.received.length || before === 0;) {
      before = this.received.length;
      await delay(SILENCE_MS);
    }
  }

  close(): Promise<void> {
    return this.#closing ??= this.consumer.close();
  }
}

export function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `m${index}`);
}

export function sorted(texts: readonly string[]): readonly string[] {
  return [...texts].sort();
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export async function publishAll(publisher: Publisher, texts: readonly string[]): Promise<void> {
  await Promise.all(texts.map((text) => publisher.publish({ key: "a", bytes: bytesOf(text) })));
}
