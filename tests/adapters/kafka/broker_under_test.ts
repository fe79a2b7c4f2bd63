/** A topic of a test's own on a server of its file, and those who write and read it. */
import { delay } from "../../support/services.ts";
import type { Kafka } from "../../support/kafka.ts";
import {
  createKafkaConsumer,
  createKafkaPublisher,
  type KafkaOptions,
} from "../../../src/adapters/kafka/broker.ts";
import type { Consumer, Publisher, Received } from "../../../src/ports/broker.ts";
import { eventually } from "../../support/dsproxy.ts";

export interface Worker {
  readonly consumer: Consumer;
  /** What it was given, in order. */
  readonly given: { readonly text: string; readonly received: Received }[];
  readonly texts: () => readonly string[];
}

export class TopicUnderTest extends AsyncDisposableStack {
  readonly options: KafkaOptions;
  readonly faults: string[] = [];

  constructor(readonly server: Kafka, options: Partial<KafkaOptions> = {}) {
    super();
    this.options = {
      brokers: [{ host: "127.0.0.1", port: server.port }],
      topic: `test-${crypto.randomUUID()}`,
      partitions: 1,
      replicas: undefined,
      tls: undefined,
      sasl: undefined,
      ...options,
    };
  }

  get topic(): string {
    return this.options.topic;
  }

  publisher(): Publisher {
    const publisher = createKafkaPublisher(this.options, this.#watcher());
    this.defer(() => publisher.close());
    return publisher;
  }

  /** @param onReceived acknowledges everything where it is not given */
  worker(onReceived = (received: Received, _text: string) => received.acknowledge()): Worker {
    const consumer = createKafkaConsumer(this.options, this.#watcher());
    const given: { text: string; received: Received }[] = [];
    consumer.start((received) => {
      const text = textOf(received.bytes);
      given.push({ text, received });
      onReceived(received, text);
    });
    this.defer(() => consumer.close());
    return { consumer, given, texts: () => given.map(({ text }) => text) };
  }

  /** Rights that nobody checks, and what the adapter never does. */
  admin() {
    const admin = this.server.admin();
    this.defer(() => admin.close());
    return admin;
  }

  /** How far the group has come in the partition, as Kafka knows it. */
  async committed(partition = 0): Promise<bigint | undefined> {
    await using admin = disposable(this.server.admin());
    const groups = [this.topic];
    const [group] = await admin.client.listConsumerGroupOffsets({ groups });
    return group?.topics.find(({ name }) => name === this.topic)?.partitions
      .find(({ partitionIndex }) => partitionIndex === partition)?.committedOffset;
  }

  async untilCommitted(offset: bigint, partition = 0): Promise<void> {
    await eventually(
      `${offset} is committed`,
      async () => await this.committed(partition) === offset,
    );
  }

  #watcher() {
    return { onFault: (error: unknown) => void this.faults.push(String(error)) };
  }
}

function disposable<C extends { close(): Promise<void> }>(client: C) {
  return { client, [Symbol.asyncDispose]: () => client.close() };
}

export async function publishAll(
  publisher: Publisher,
  source: string,
  texts: readonly string[],
): Promise<void> {
  await Promise.all(texts.map((text) => publisher.publish({ key: source, bytes: bytesOf(text) })));
}

export function numbered(count: number, prefix = "m"): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export async function untilGiven(worker: Worker, count: number): Promise<void> {
  await eventually(
    `${count} messages are given (${worker.consumer.failure ?? "no failure"})`,
    () => Promise.resolve(worker.given.length >= count),
  );
}

/** Nothing more comes in a while. */
export async function noMoreGiven(worker: Worker, count: number): Promise<boolean> {
  await delay(1_500);
  return worker.given.length === count;
}
