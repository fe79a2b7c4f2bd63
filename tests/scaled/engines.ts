/** The brokers that a scaled layout may have, each a real server with a queue of its own. */
import type { Environment } from "../support/dsproxy.ts";
import { startKafka } from "../support/kafka.ts";
import { startRabbitmq } from "../support/rabbitmq.ts";

/**
 * RabbitMQ knows a quorum queue after a `kill -9` of its only server once it has been there for a
 * while: it writes down who has it with a delay of up to three seconds.
 */
const QUEUE_KEPT_AFTER_MS = 4_000;

export interface Engine extends AsyncDisposable {
  /** What an API server or a worker is told of it. */
  readonly settings: Environment;
  /** Ends it at once, as a power cut of its machine's process would. */
  kill(): Promise<void>;
  /** Starts it again on the data that it had. */
  start(): Promise<void>;
  /** So long after the first message a kill leaves a broker that has its queue still. */
  readonly keptAfterMs: number;
}

export const ENGINES = {
  rabbitmq: async (): Promise<Engine> => {
    const server = await startRabbitmq();
    return engine(
      server,
      { QUEUE: "rabbitmq", RABBITMQ_URL: server.url },
      QUEUE_KEPT_AFTER_MS,
    );
  },
  kafka: async (): Promise<Engine> => {
    const server = await startKafka();
    return engine(server, { QUEUE: "kafka", KAFKA_BROKERS: server.url, KAFKA_PARTITIONS: "6" }, 0);
  },
} as const;

export type EngineName = keyof typeof ENGINES;

function engine(
  server: AsyncDisposable & Pick<Engine, "kill" | "start">,
  settings: Environment,
  keptAfterMs: number,
): Engine {
  return {
    settings,
    keptAfterMs,
    kill: () => server.kill(),
    start: () => server.start(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
