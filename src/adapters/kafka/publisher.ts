import type { BrokerMessage, Publisher } from "../../ports/broker.ts";
import { type BrokerError, BrokerUnavailableError } from "../../errors.ts";
import { withDeadline } from "../../deadline.ts";
import { CALL_TIMEOUT_MS, type KafkaOptions } from "./client.ts";
import { brokerError, isUnknownTopic } from "./faults.ts";
import { Sender } from "./sender.ts";
import { deadTopicOf, declareTopics } from "./topics.ts";

/** While the server does not answer, calls hold at most so much memory. */
const MAX_BYTES_UNDER_WAY = 64 * 1024 * 1024;

export class KafkaPublisher implements Publisher {
  readonly #sender: Sender;
  readonly #limitMs: number;
  /** Those that wait for the topology are together, so that they go on in order. */
  #declared: Promise<void> | undefined;
  #bytesUnderWay = 0;
  readonly #rejectors = new Set<(error: BrokerError) => void>();
  readonly #closing = new AbortController();

  constructor(private readonly options: KafkaOptions) {
    this.#sender = new Sender(options);
    this.#limitMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
  }

  async publish({ key, bytes }: BrokerMessage): Promise<void> {
    if (this.#bytesUnderWay > 0 && this.#bytesUnderWay + bytes.length > MAX_BYTES_UNDER_WAY) {
      throw new BrokerUnavailableError(
        `${MAX_BYTES_UNDER_WAY} bytes wait for Kafka's confirmation already: this message waits ` +
          "for its turn",
      );
    }
    this.#bytesUnderWay += bytes.length;
    const giveUpAt = performance.now() + this.#limitMs;
    const work = async () => {
      await this.#declareWithin(giveUpAt);
      try {
        const message = { topic: this.options.topic, key, bytes };
        await this.#sender.send(message, leftUntil(giveUpAt));
      } catch (error) {
        // Somebody has removed the topic: the next call makes it anew.
        if (isUnknownTopic(error)) this.#declared = undefined;
        throw error;
      }
    };
    try {
      await this.#untilClosed(work);
    } finally {
      this.#bytesUnderWay -= bytes.length;
    }
  }

  ping(): Promise<void> {
    const { topic } = this.options;
    const giveUpAt = performance.now() + this.#limitMs;
    return this.#untilClosed(async () => {
      await this.#declareWithin(giveUpAt);
      try {
        await this.#sender.ask([topic, deadTopicOf(topic)], leftUntil(giveUpAt));
      } catch (error) {
        if (!isUnknownTopic(error)) throw error;
        this.#declared = undefined;
        await this.#declareWithin(giveUpAt);
      }
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const reject of this.#rejectors) reject(closedError());
    await this.#declared?.catch(() => {}); // Whoever called has been told.
    await this.#sender.close();
  }

  #declareWithin(giveUpAt: number): Promise<void> {
    return withDeadline(this.#declare(), leftUntil(giveUpAt), "it");
  }

  #declare(): Promise<void> {
    if (this.#declared !== undefined) return this.#declared;
    const declared = declareTopics(this.options, this.#limitMs, this.#closing.signal);
    declared.catch(() => {
      if (this.#declared === declared) this.#declared = undefined;
    });
    return this.#declared = declared;
  }

  #untilClosed(work: () => Promise<void>): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#rejectors.add(reject);
      work().then(resolve, (error) => reject(brokerError(error, this.options)))
        .finally(() => this.#rejectors.delete(reject));
    });
  }
}

function leftUntil(giveUpAt: number): number {
  return Math.max(Math.ceil(giveUpAt - performance.now()), 0);
}

function closedError(): BrokerError {
  return new BrokerUnavailableError("The connection to Kafka was closed");
}
