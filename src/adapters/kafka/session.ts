import { Consumer, type ConsumerGroupJoinPayload } from "./library.ts";
import { withDeadline } from "../../deadline.ts";
import { BrokerRefusesError } from "../../errors.ts";
import { CALL_TIMEOUT_MS, clientOptions, closeClient, guard, type KafkaOptions } from "./client.ts";
import { brokerError, isUnknownTopic } from "./faults.ts";
import { type FetchedRecord, Fetcher } from "./fetcher.ts";
import { Progress } from "./progress.ts";
import { declareTopics } from "./topics.ts";
import type { Window } from "./window.ts";

export interface SessionEvents {
  readonly onRecord: (progress: Progress, record: FetchedRecord) => void;
  /** Messages are received, or would be if there were some. */
  readonly onReceiving: () => void;
  /** Nothing is received just now; it goes on by itself. */
  readonly onTrouble: (error: unknown) => void;
  readonly onFault: (error: unknown) => void;
}

/** Who is away for longer is taken for gone, and others are given its partitions. */
const SESSION_TIMEOUT_MS = 10_000;
const HEARTBEAT_MS = 1_000;
/** A new member is in when all others have come, or are taken for gone. */
const JOIN_LIMIT_MS = 2 * SESSION_TIMEOUT_MS;
const COMMIT_EVERY_MS = 200;
const COMMIT_LIMIT_MS = 3_000;
/** What fails for longer is begun anew, with connections and a membership of its own. */
const PATIENCE_MS = 10_000;
const EARLIEST = -2n;

/** One membership of the group: from joining it until it fails, or is left. */
export class Session {
  readonly #consumer: Consumer;
  readonly #fetcher: Fetcher;
  #partitions = new Map<number, Progress>();
  readonly #over = Promise.withResolvers<void>();
  readonly #ended = new AbortController();
  #joined: ConsumerGroupJoinPayload | undefined;
  /** The group's coordinator was away. */
  #wasUnheard = false;
  /** How often the group gave its partitions; what was read for an earlier time is void. */
  #assignments = 0;
  #isRebalancing = true;
  /** The topic had so many partitions when they were given to the members. */
  #partitionCount: number | undefined;
  #commitTimer: ReturnType<typeof setInterval> | undefined;
  #isCommitting = false;
  #commitFails = false;
  #troubleSinceMs: number | undefined;

  constructor(
    private readonly options: KafkaOptions,
    window: Window,
    private readonly events: SessionEvents,
  ) {
    this.#over.promise.catch(() => {}); // It may fail while nobody waits for it.
    this.#consumer = new Consumer({
      ...clientOptions(options),
      groupId: options.topic,
      autocommit: false,
      sessionTimeout: SESSION_TIMEOUT_MS,
      rebalanceTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      heartbeatStallTimeout: SESSION_TIMEOUT_MS,
      // The server answers who joins when all have joined.
      requestTimeout: JOIN_LIMIT_MS,
    });
    guard(this.#consumer.connections);
    this.#consumer.on("consumer:group:rebalance", () => this.#letGo());
    this.#consumer.on("consumer:group:join", (joined) => this.#assigned(joined));
    this.#consumer.on("consumer:heartbeat:error", () => this.#wasUnheard = true);
    this.#consumer.on("consumer:heartbeat:end", () => {
      if (this.#wasUnheard) this.#readAnew();
    });
    this.#consumer.on("consumer:heartbeat:stalled", ({ lastError }) => {
      this.#fail(lastError ?? new Error("the group's coordinator does not answer"));
    });
    // It could not join again, and does not try any more.
    this.#consumer.on("error", (error: unknown) => this.#fail(error));
    this.#fetcher = new Fetcher(this.#consumer, options, window, {
      partitions: () => this.#isRebalancing ? [] : [...this.#partitions.values()],
      onPartitionCount: (count) => this.#compareCount(count),
      onRecord: (progress, record) => events.onRecord(progress, record),
      onSuccess: () => this.#succeeded(),
      onTrouble: (error) => this.#trouble(error),
      onLoss: (message) => events.onFault(new Error(message)),
    });
  }

  /** Resolves when it was stopped. @throws BrokerError when it has to be begun anew */
  async run(): Promise<void> {
    try {
      await Promise.race([this.#over.promise, this.#work()]);
    } catch (error) {
      throw brokerError(error, this.options);
    }
  }

  stop(): void {
    this.#ended.abort();
    this.#over.resolve();
  }

  /** Reads no more. */
  stopReading(): Promise<void> {
    return this.#fetcher.close();
  }

  /** Tells what was acknowledged, and that it is gone. */
  async close(): Promise<void> {
    this.stop();
    clearInterval(this.#commitTimer);
    await this.#fetcher.close();
    try {
      if (!this.#isRebalancing) await this.#commit();
    } catch (error) {
      this.events.onFault(brokerError(error, this.options));
    }
    for (const progress of this.#partitions.values()) progress.isRevoked = true;
    this.#consumer.on("error", () => {});
    await closeClient(this.#consumer, async () => {
      // Closed alone, the library may begin to watch over heartbeats that it sends no more.
      await this.#consumer.leaveGroup(true);
      await this.#consumer.close();
    });
    await this.#fetcher.settled();
  }

  async #work(): Promise<void> {
    await declareTopics(this.options, CALL_TIMEOUT_MS, this.#ended.signal);
    if (this.#ended.signal.aborted) return;
    this.#consumer.topics.track(this.options.topic);
    await withDeadline(this.#consumer.joinGroup(), JOIN_LIMIT_MS, "joining the group");
    if (this.#ended.signal.aborted) return;
    this.#commitTimer = setInterval(() => this.#commitWhatIsDone(), COMMIT_EVERY_MS);
    await this.#fetcher.run();
    // What was acknowledged until it is stopped is told, too.
    await this.#over.promise;
  }

  /** The group gives its partitions anew. Until it has, a member may still say how far it came. */
  #letGo(): void {
    if (this.#isRebalancing) return;
    this.#commit().catch(() => {}); // What it could not say is given again.
    this.#isRebalancing = true;
  }

  /** A server that was away may have less than it had: what was committed is what it is sure of. */
  #readAnew(): void {
    if (this.#isRebalancing || this.#joined === undefined) return;
    this.#wasUnheard = false;
    this.#letGo();
    this.#take(this.#joined, false).catch((error) => this.#fail(error));
  }

  /**
   * A partition that this member had in the generation before, too, was nobody else's in between:
   * it goes on where it is.
   */
  #assigned(joined: ConsumerGroupJoinPayload): void {
    const before = this.#joined;
    this.#joined = joined;
    const isContinuous = joined.memberId === before?.memberId &&
      (joined.generationId ?? -1) <= (before.generationId ?? -1) + 1;
    this.#take(joined, isContinuous).catch((error) => this.#fail(error));
  }

  async #take({ assignments = [] }: ConsumerGroupJoinPayload, keepsPlace: boolean): Promise<void> {
    const assignment = ++this.#assignments;
    const { topic } = this.options;
    const own = assignments.find((each) => each.topic === topic)?.partitions ?? [];
    const before = this.#partitions;
    this.#partitions = new Map();
    for (const [partition, progress] of before) {
      if (keepsPlace && own.includes(partition)) this.#partitions.set(partition, progress);
      else progress.isRevoked = true;
    }
    const added = own.filter((partition) => !this.#partitions.has(partition));
    const metadata = await this.#consumer.metadata({ topics: [topic] });
    const positions = await this.#positionsOf(added);
    if (assignment !== this.#assignments) return;
    for (const progress of positions) this.#partitions.set(progress.partition, progress);
    this.#partitionCount = metadata.topics.get(topic)!.partitionsCount;
    this.#isRebalancing = false;
    this.#fetcher.look();
  }

  async #positionsOf(partitions: readonly number[]): Promise<readonly Progress[]> {
    if (partitions.length === 0) return [];
    const { topic } = this.options;
    const wanted = [...partitions];
    const [committed, earliest] = await Promise.all([
      this.#consumer.listCommittedOffsets({ topics: [{ topic, partitions: wanted }] }),
      this.#consumer.listOffsets({
        topics: [topic],
        partitions: { [topic]: wanted },
        timestamp: EARLIEST,
      }),
    ]);
    return partitions.map((partition) => {
      const known = committed.get(topic)?.[partition] ?? -1n;
      return new Progress(partition, known >= 0n ? known : earliest.get(topic)![partition]!);
    });
  }

  /** Its members have to share partitions that were added; who leads the group finds them then. */
  #compareCount(count: number): void {
    if (this.#isRebalancing || count === this.#partitionCount) return;
    this.#letGo();
    this.#consumer.joinGroup().catch((error) => this.#fail(error));
  }

  async #commitWhatIsDone(): Promise<void> {
    if (this.#isRebalancing || this.#isCommitting) return;
    this.#isCommitting = true;
    try {
      await this.#commit();
      this.#commitFails = false;
    } catch (error) {
      // It is tried again in a moment: one word about it is enough.
      if (!this.#commitFails) this.events.onFault(brokerError(error, this.options));
      this.#commitFails = true;
    } finally {
      this.#isCommitting = false;
    }
  }

  async #commit(): Promise<void> {
    const moved = [...this.#partitions.values()].filter(({ done, committed }) => done !== committed)
      .map((progress) => ({ progress, offset: progress.done }));
    if (moved.length === 0) return;
    const { topic } = this.options;
    const offsets = moved.map(({ progress: { partition }, offset }) => ({
      topic,
      partition,
      offset,
      leaderEpoch: -1,
    }));
    await withDeadline(this.#consumer.commit({ offsets }), COMMIT_LIMIT_MS, "committing");
    for (const { progress, offset } of moved) progress.committed = offset;
  }

  #succeeded(): void {
    this.#troubleSinceMs = undefined;
    if (!this.#isRebalancing) this.events.onReceiving();
  }

  #trouble(error: unknown): void {
    this.#troubleSinceMs ??= performance.now();
    const isOver = isUnknownTopic(error) ||
      brokerError(error, this.options) instanceof BrokerRefusesError ||
      performance.now() - this.#troubleSinceMs > PATIENCE_MS;
    if (isOver) this.#fail(error);
    else this.events.onTrouble(error);
  }

  #fail(error: unknown): void {
    this.#over.reject(error);
  }
}
