/** A queue of a test's own on a server of its file, and those who write and read it. */
import {
  createRabbitmqConsumer,
  createRabbitmqPublisher,
  type RabbitmqOptions,
} from "../../../src/adapters/rabbitmq/broker.ts";
import { CALL_LIMIT_MS, Ends } from "../../contract/broker_under_test.ts";
import { messagesIn, type Rabbitmq, rabbitmqOptions } from "../../support/rabbitmq.ts";

export class QueueUnderTest extends Ends {
  readonly faults: string[];
  readonly options: RabbitmqOptions;

  constructor(readonly server: Rabbitmq, others: Partial<RabbitmqOptions> = {}) {
    const options = rabbitmqOptions(server, { callTimeoutMs: CALL_LIMIT_MS, ...others });
    const faults: string[] = [];
    const watcher = { onFault: (error: unknown) => void faults.push(String(error)) };
    super({
      makePublisher: () => createRabbitmqPublisher(options, watcher),
      makeConsumer: () => createRabbitmqConsumer(options, watcher),
      buried: async () =>
        (await messagesIn(server, `${options.queue}.dead`)).map((bytes) => ({ bytes })),
    });
    this.options = options;
    this.faults = faults;
  }

  get queue(): string {
    return this.options.queue;
  }
}
