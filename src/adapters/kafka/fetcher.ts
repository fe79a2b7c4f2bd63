import { Buffer } from "node:buffer";
import { ConnectionPool, type Consumer, IS_CONTROL } from "./library.ts";
import { clientOptions, closePool, guard, type KafkaOptions } from "./client.ts";
import { isNamed } from "./faults.ts";
import { pause } from "./pause.ts";
import type { Progress } from "./progress.ts";
import type { Window } from "./window.ts";

export interface FetchedRecord {
  readonly offset: bigint;
  readonly bytes: Uint8Array;
}

export interface FetcherEvents {
  /** They are read as long as they are not revoked. */
  readonly partitions: () => readonly Progress[];
  /** The topic has so many partitions, whoever reads them. */
  readonly onPartitionCount: (count: number) => void;
  readonly onRecord: (progress: Progress, record: FetchedRecord) => void;
  readonly onSuccess: () => void;
  readonly onTrouble: (error: unknown) => void;
  /** Nothing came of it, but what was to be read is gone. */
  readonly onLoss: (message: string) => void;
}

/** A server is asked again when it has answered, or has had nothing for so long. */
const MAX_WAIT_MS = 500;
/** Of what a server answers, which is given out before it is asked again. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_BYTES_PER_PARTITION = 1024 * 1024;
/** For so long at most nobody looks whether other servers lead, or partitions were added. */
const LOOK_EVERY_MS = 1_000;
const AGAIN_AFTER_MS = 500;
const EARLIEST = -2n;

/**
 * Reads partitions from the servers that lead them. The library has a stream that does so, but that
 * ends at the first failure, and goes on behind what others were given when a partition comes back
 * of which nothing was ever committed.
 */
export class Fetcher {
  /** A fetch waits at the server, and a heartbeat on the same connection would wait behind it. */
  readonly #pool: ConnectionPool;
  readonly #ended = new AbortController();
  readonly #reading = new Map<number, Promise<void>>();
  #running: Promise<void> | undefined;
  #wake = () => {};
  #hasChanged = false;

  constructor(
    private readonly consumer: Consumer,
    private readonly options: KafkaOptions,
    private readonly window: Window,
    private readonly events: FetcherEvents,
  ) {
    const { clientId, ...connection } = clientOptions(options);
    this.#pool = new ConnectionPool(clientId, connection);
    guard(this.#pool);
  }

  /** Resolves when it was closed. */
  run(): Promise<void> {
    return this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      this.#hasChanged = false;
      try {
        await this.#readWhereIdle();
      } catch (error) {
        this.#trouble(error);
      }
      await this.#change();
    }
  }

  /** There are other partitions to read. */
  look(): void {
    this.#hasChanged = true;
    this.#wake();
  }

  /** Gives nothing out any more. */
  close(): Promise<void> {
    this.#ended.abort();
    this.window.wake();
    this.#wake();
    return closePool(this.#pool);
  }

  /** Resolves when nothing of it is under way: the consumer has to be closed, too. */
  async settled(): Promise<void> {
    await this.#running;
    await Promise.all(this.#reading.values());
  }

  #change(): Promise<void> {
    if (this.#hasChanged || this.#ended.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(resolve, LOOK_EVERY_MS);
    });
  }

  async #readWhereIdle(): Promise<void> {
    const { topic } = this.options;
    const metadata = await this.consumer.metadata({ topics: [topic] });
    const { id, partitions } = metadata.topics.get(topic)!;
    this.events.onPartitionCount(partitions.length);
    const wanted = this.events.partitions();
    if (wanted.length === 0) this.events.onSuccess();
    const byLeader = Map.groupBy(wanted, ({ partition }) => partitions[partition]?.leader ?? -1);
    for (const [node, led] of byLeader) {
      if (node < 0 || this.#reading.has(node) || this.#ended.signal.aborted) continue;
      const done = this.#readFrom(node, id, led).catch(async (error) => {
        this.#trouble(error);
        await pause(AGAIN_AFTER_MS, this.#ended.signal);
      });
      this.#reading.set(
        node,
        done.finally(() => {
          this.#reading.delete(node);
          this.look();
        }),
      );
    }
  }

  async #readFrom(node: number, topicId: string, led: readonly Progress[]): Promise<void> {
    await this.#room();
    if (this.#ended.signal.aborted) return;
    const response = await this.#fetch(node, topicId, led);
    this.events.onSuccess();
    for (
      const { partitionIndex, records } of response.responses.flatMap((each) => each.partitions)
    ) {
      const progress = led.find(({ partition }) => partition === partitionIndex);
      if (progress === undefined) continue;
      for (const batch of records ?? []) {
        const isControl = (batch.attributes & IS_CONTROL) !== 0;
        for (const { offsetDelta, value } of isControl ? [] : batch.records) {
          const offset = batch.firstOffset + BigInt(offsetDelta);
          // A batch comes whole, even if it begins before what was asked for.
          if (offset < progress.position) continue;
          await this.#room();
          if (this.#ended.signal.aborted) return;
          if (progress.isRevoked) break;
          // A copy: it would hold all that came with it as long as it is held itself.
          this.events.onRecord(progress, { offset, bytes: new Uint8Array(value ?? Buffer.of()) });
        }
        const next = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
        if (!progress.isRevoked && progress.position < next) progress.skipTo(next);
      }
    }
  }

  async #fetch(node: number, topicId: string, led: readonly Progress[]) {
    try {
      return await this.consumer.fetch({
        node,
        connectionPool: this.#pool,
        maxWaitTime: MAX_WAIT_MS,
        minBytes: 1,
        maxBytes: MAX_BYTES,
        topics: [{
          topicId,
          partitions: led.map(({ partition, position }) => ({
            partition,
            fetchOffset: position,
            partitionMaxBytes: MAX_BYTES_PER_PARTITION,
            currentLeaderEpoch: -1,
            lastFetchedEpoch: -1,
          })),
        }],
      });
    } catch (error) {
      if (isNamed(error, "OFFSET_OUT_OF_RANGE")) await this.#comeIntoRange(led);
      throw error;
    }
  }

  /** The topic was made anew, or its retention was too short for what was to be read. */
  async #comeIntoRange(led: readonly Progress[]): Promise<void> {
    const { topic } = this.options;
    const [first, last] = await Promise.all(
      [EARLIEST, -1n].map(async (timestamp) =>
        (await this.consumer.listOffsets({
          topics: [topic],
          partitions: { [topic]: led.map(({ partition }) => partition) },
          timestamp,
        })).get(topic)!
      ),
    );
    for (const progress of led) {
      const { partition, position } = progress;
      const [earliest, latest] = [first![partition]!, last![partition]!];
      if (position >= earliest && position <= latest) continue;
      this.events.onLoss(
        `Partition ${partition} of the topic ${topic} has no message ${position} any more: it is ` +
          `read from ${earliest} on`,
      );
      progress.skipTo(earliest);
    }
  }

  async #room(): Promise<void> {
    while (this.window.isFull && !this.#ended.signal.aborted) await this.window.change();
  }

  #trouble(error: unknown): void {
    if (!this.#ended.signal.aborted) this.events.onTrouble(error);
  }
}
