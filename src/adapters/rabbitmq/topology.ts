/** What the program declares: a quorum queue, and one for what nobody can make anything of. */

/**
 * A message that a worker gives back, or is killed with, is given out again. Later versions of
 * RabbitMQ count that, and put it away after 20 times, which an outage of the database reaches: they
 * take no word for "never" that earlier ones take, too.
 */
const DELIVERIES_MAX = 1_000_000_000;

interface Queue {
  readonly queue: string;
  readonly durable: true;
  readonly arguments: Readonly<Record<string, string | number>>;
}

export function deadQueueName(queue: string): string {
  return `${queue}.dead`;
}

/** Returns the queues in the order in which they have to be declared. */
export function topologyOf(queue: string): [Queue, Queue] {
  const dead = deadQueueName(queue);
  return [
    { queue: dead, durable: true, arguments: { "x-queue-type": "quorum" } },
    {
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
    },
  ];
}
