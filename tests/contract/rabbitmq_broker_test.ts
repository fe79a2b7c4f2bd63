import {
  createRabbitmqConsumer,
  createRabbitmqPublisher,
} from "../../src/adapters/rabbitmq/broker.ts";
import { messagesIn, rabbitmqOptions, startRabbitmq } from "../support/rabbitmq.ts";
import { delay } from "../support/services.ts";
import { brokerContract } from "./broker_suite.ts";
import { type BrokerServer, CALL_LIMIT_MS } from "./broker_under_test.ts";

/**
 * RabbitMQ 3.10 writes the names of its logs to disk a little later than it confirms: a queue that
 * was declared a moment before the server is killed is empty afterwards, and without a leader.
 */
const KNOWN_AFTER_MS = 2_000;

brokerContract("RabbitMQ", async (): Promise<BrokerServer> => {
  const server = await startRabbitmq();
  return {
    start: () => server.start(),
    kill: async () => {
      await delay(KNOWN_AFTER_MS);
      await server.kill();
    },
    pause: () => server.pause(),
    resume: () => server.resume(),
    [Symbol.asyncDispose]: () => server.dispose(),
    makePlace(overrides = {}) {
      const options = rabbitmqOptions(server, { callTimeoutMs: CALL_LIMIT_MS, ...overrides });
      const watcher = { onFault: () => {} };
      return {
        makePublisher: () => createRabbitmqPublisher(options, watcher),
        makeConsumer: () => createRabbitmqConsumer(options, watcher),
        buried: async () =>
          (await messagesIn(server, `${options.queue}.dead`)).map((bytes) => ({ bytes })),
      };
    },
  };
});
