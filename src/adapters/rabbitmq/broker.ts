/** RabbitMQ carries the groups: a quorum queue that workers share, and one for what is dead. */
import type { BrokerWatcher, Consumer, Publisher } from "../../ports/broker.ts";
import type { RabbitmqOptions } from "./link.ts";
import { RabbitmqConsumer } from "./consumer.ts";
import { RabbitmqPublisher } from "./publisher.ts";

export type { RabbitmqOptions } from "./link.ts";

/** Neither needs the server to be up, nor connects before its first call. */
export function createRabbitmqPublisher(
  options: RabbitmqOptions,
  watcher: BrokerWatcher,
): Publisher {
  return new RabbitmqPublisher(options, watcher);
}

export function createRabbitmqConsumer(options: RabbitmqOptions, watcher: BrokerWatcher): Consumer {
  return new RabbitmqConsumer(options, watcher);
}
