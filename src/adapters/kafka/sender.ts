/** Sends messages, each confirmed by all servers that have to have it. */
import { Buffer } from "node:buffer";
import { compatibilityPartitioner, Producer } from "./library.ts";
import { withDeadline } from "../../deadline.ts";
import { clientOptions, closeClient, guard, type KafkaOptions } from "./client.ts";
import { brokerError, isNamed } from "./faults.ts";

export interface OutgoingMessage {
  readonly topic: string;
  readonly key?: string;
  readonly bytes: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A producer, and so many of its calls that are under way. */
interface Line {
  readonly producer: Producer;
  underWay: number;
  broken: boolean;
}

/**
 * After a failure what follows goes by another producer: the numbers that make its sending
 * idempotent may have a gap then, for which the server would refuse all of it.
 */
export class Sender {
  /** The one by which messages go now. */
  #line: Line | undefined;
  readonly #lines = new Set<Line>();
  readonly #ending = new Set<Promise<void>>();

  constructor(private readonly options: KafkaOptions) {}

  /** Messages go out in the order of the calls. @throws BrokerError */
  async send(message: OutgoingMessage, limitMs: number): Promise<void> {
    const line = this.#line ??= this.#open();
    line.underWay++;
    try {
      await withDeadline(line.producer.send({ messages: [record(message)] }), limitMs, "it");
    } catch (error) {
      // The server looks at the size before anything else.
      if (!isNamed(error, "MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE")) this.#abandon(line);
      throw brokerError(error, this.options);
    } finally {
      line.underWay--;
      if (line.broken && line.underWay === 0) this.#end(line);
    }
  }

  /** @throws BrokerError when a broker cannot be asked; any error when a topic is not there */
  async ask(topics: string[], limitMs: number): Promise<void> {
    const { producer } = this.#line ??= this.#open();
    await withDeadline(producer.metadata({ topics, forceUpdate: true, retries: 0 }), limitMs, "it");
  }

  /** What is under way fails. */
  async close(): Promise<void> {
    this.#line = undefined;
    for (const line of this.#lines) this.#end(line);
    await Promise.all(this.#ending);
  }

  #open(): Line {
    const producer = new Producer({
      ...clientOptions(this.options),
      idempotent: true,
      // It chooses the partition that Java's own client would.
      partitioner: compatibilityPartitioner,
    });
    guard(producer.connections);
    const line = { producer, underWay: 0, broken: false };
    this.#lines.add(line);
    return line;
  }

  #abandon(line: Line): void {
    line.broken = true;
    if (this.#line === line) this.#line = undefined;
  }

  #end(line: Line): void {
    if (!this.#lines.delete(line)) return;
    const { producer } = line;
    const ended = closeClient(producer).finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }
}

function record({ topic, key, bytes, headers = {} }: OutgoingMessage) {
  const entries = Object.entries(headers).map(([name, value]) =>
    [Buffer.from(name), Buffer.from(value)] as const
  );
  return {
    topic,
    value: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    headers: new Map(entries),
    ...(key !== undefined && { key: Buffer.from(key) }),
  };
}
