/**
 * Kafka carries the groups: a topic whose partitions the workers share as one consumer group, and
 * beside it `<topic>.dead` with those of which nobody could make anything. All messages of a key are
 * in one partition, where the partitions stay as many as they are.
 */
import type { BrokerWatcher, Consumer, Publisher } from "../../ports/broker.ts";
import type { KafkaOptions } from "./client.ts";
import { KafkaConsumer } from "./consumer.ts";
import { KafkaPublisher } from "./publisher.ts";

export type { KafkaOptions } from "./client.ts";

/** Does not need the server to be up: calls are rejected while it is not. */
export function createKafkaPublisher(options: KafkaOptions, _watcher: BrokerWatcher): Publisher {
  return new KafkaPublisher(options);
}

export function createKafkaConsumer(options: KafkaOptions, watcher: BrokerWatcher): Consumer {
  return new KafkaConsumer(options, watcher);
}
