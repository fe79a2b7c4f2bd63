/** What the program declares: a quorum queue, and one for what nobody can make anything of. */
import type { Channel } from "rabbitmq-client";

/**
 * A message that a worker gives back, or is killed with, is given out again. Later versions of
 * RabbitMQ count that, and put it away after 20 times, which an outage of the database reaches: they
 * take no word for "never" that earlier ones take, too.
 */
const DELIVERIES_MAX = 1_000_000_000;

export function deadQueueOf(queue: string): string {
  return `${queue}.dead`;
}

/** It does nothing where they are there. */
export async function declareQueues(channel: Channel, queue: string): Promise<void> {
  const dead = deadQueueOf(queue);
  await channel.queueDeclare({
    queue: dead,
    durable: true,
    arguments: { "x-queue-type": "quorum" },
  });
  await channel.queueDeclare({
    queue,
    durable: true,
    arguments: {
      "x-queue-type": "quorum",
      "x-delivery-limit": DELIVERIES_MAX,
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": dead,
      // Such a message leaves the queue only when the other one has it.
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
    },
  });
}
