/**
 * Brings durable groups from the journal to the broker, each as one message, several at a time.
 * What the broker did not confirm is sent again until it does; that it may have it twice does no
 * harm, as the store leaves out what it has. Nothing is settled by it: the store has to have it.
 */
import { Backoff } from "../backoff.ts";
import { reasonOf } from "../errors.ts";
import type { PauseSwitch } from "../pause_switch.ts";
import type { Publisher } from "../ports/broker.ts";
import type { Clock } from "../ports/clock.ts";
import type { EntryGroup } from "../ports/group_store.ts";
import type { GroupSource, ReadGroup } from "../ports/group_source.ts";
import { BrokerOutage } from "../telemetry/broker_outage.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { encodeGroup } from "./group_message.ts";

interface ForwarderParts {
  readonly source: GroupSource;
  readonly publisher: Pick<Publisher, "publish">;
  /** Resolves to how far the store has each source of the journal. */
  readonly marks: () => Promise<ReadonlyMap<string, number>>;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">;
  /** It returns the identity of the store that groups are meant for; undefined while none knows. */
  readonly storeIdentity: () => string | undefined;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
  readonly metrics: Pick<Metrics, "brokerMessages">;
  readonly log: Log;
  readonly tracing?: Pick<Tracing, "send">;
  /** It is told when the broker has confirmed a source through another number. */
  readonly onReplicated: (source: string, throughSeq: number) => void;
  /** It is told of numbers that never come. The broker is not, as only the source can know. */
  readonly onNever: (group: EntryGroup) => void;
  /** While paused nothing is sent; what is under way is. */
  readonly pausing: PauseSwitch;
  /** It is asked of each group that is doubtful, and takes care that it comes later. */
  readonly holdsBack: (group: ReadGroup) => boolean;
}

interface UnderWay {
  readonly group: EntryGroup;
  attempts: number;
  state: "sending" | "confirmed" | "failed";
}

/**
 * So many messages are under way: enough for a broker that takes milliseconds to confirm, and at
 * 512 KiB each little memory.
 */
const UNDER_WAY_MAX = 32;
/** The first wait after a failure is bounded by this, and each further failure doubles the bound … */
const RETRY_MS = 100;
/** … up to here. */
const RETRY_MAX_MS = 5_000;

export class Forwarder {
  /** They are in the order of the journal; of those that failed none is forgotten. */
  #underWay: UnderWay[] = [];
  /** From this number on a source is not replicated, whatever is confirmed behind it. */
  readonly #heldBackFrom = new Map<string, number>();
  #state: "stopped" | "running" | "backing off" = "stopped";
  /** It is true when the source is to be read from its beginning. */
  #beginsAnew = true;
  #turn: Promise<void> | undefined;
  #isNotified = false;
  readonly #backoff: Backoff;
  #failure: string | undefined;
  readonly #outage: BrokerOutage;
  #cancelRetry: (() => void) | undefined;
  #stopListening: (() => void) | undefined;
  #onIdle: (() => void) | undefined;

  constructor(private readonly parts: ForwarderParts) {
    const { random, log, clock } = parts;
    this.#outage = new BrokerOutage(log, clock);
    this.#backoff = new Backoff({ firstMs: RETRY_MS, maxMs: RETRY_MAX_MS, random });
  }

  /** It says why nothing reaches the broker just now; undefined while it does. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The broker was sent something that it has not answered. */
  get isSending(): boolean {
    return this.#underWay.some(({ state }) => state === "sending");
  }

  start(): void {
    this.#state = "running";
    this.#stopListening = this.parts.pausing.onTurn(() => {
      this.notify();
      // Nobody waits until all is sent while nothing is sent.
      if (this.parts.pausing.isPaused) this.#onIdle?.();
    });
    this.notify();
  }

  /** Is told that more is durable. */
  notify(): void {
    this.#isNotified = true;
    if (this.#sends) this.#turn ??= this.#work();
  }

  get #sends(): boolean {
    return this.#state === "running" && !this.parts.pausing.isPaused;
  }

  /** Sends everything again that the store does not have, as some of it may be lost. */
  restart(): void {
    this.#beginsAnew = true;
    this.notify();
  }

  /**
   * Resolves when the broker has confirmed all that is durable, or the signal fires; at once while
   * paused.
   */
  async drain(signal: AbortSignal): Promise<void> {
    if (this.#state === "stopped" || signal.aborted || this.parts.pausing.isPaused) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.#onIdle = resolve;
    this.notify();
    await promise;
    this.#onIdle = undefined;
  }

  /** Begins nothing further. What is under way is sent again by the next start. */
  async stop(): Promise<void> {
    this.#state = "stopped";
    this.#stopListening?.();
    this.#cancelRetry?.();
    await this.#turn;
  }

  async #work(): Promise<void> {
    try {
      while (this.#sends && this.#isNotified) {
        this.#isNotified = false;
        await this.#sendWhatIsThere();
      }
    } catch (error) {
      this.#failed(error);
    }
    this.#turn = undefined;
    if (this.#isNotified && this.#sends) this.notify();
    else this.#tellIdle();
  }

  async #sendWhatIsThere(): Promise<void> {
    if (this.#beginsAnew) await this.#beginAnew();
    for (const sent of this.#underWay) if (sent.state === "failed") this.#send(sent);
    while (this.#sends && this.#underWay.length < UNDER_WAY_MAX) {
      const group = await this.parts.source.take();
      if (group === undefined) return;
      if (group.isDoubtful && this.parts.holdsBack(group)) {
        if (!this.#heldBackFrom.has(group.source)) {
          this.#heldBackFrom.set(group.source, group.first);
        }
        continue;
      }
      if (group.entries.length === 0) {
        this.parts.onNever(group);
        continue;
      }
      const sent: UnderWay = { group, attempts: 0, state: "sending" };
      this.#underWay.push(sent);
      this.#send(sent);
    }
  }

  async #beginAnew(): Promise<void> {
    this.#beginsAnew = false;
    let marks: ReadonlyMap<string, number> = new Map();
    try {
      marks = await this.parts.marks();
    } catch {
      // The store is away: what it may have is sent once more, and left out there.
    }
    this.parts.source.restart(marks);
    this.#underWay = [];
    this.#heldBackFrom.clear();
  }

  #send(sent: UnderWay): void {
    const { publisher, metrics, storeIdentity } = this.parts;
    sent.state = "sending";
    sent.attempts++;
    const { source, first } = sent.group;
    const store = storeIdentity();
    const trace = this.parts.tracing?.send(sent.group.entries);
    const group = trace === undefined ? sent.group : { ...sent.group, entries: trace.entries };
    const message = {
      // Any worker may have any group: the order is the store's concern. Where one part of a broker
      // takes nothing, the next attempt goes to another one.
      key: `${source}-${first}-${sent.attempts}`,
      bytes: encodeGroup({ ...group, ...(store !== undefined && { store }) }),
    };
    publisher.publish(message).then(
      () => {
        metrics.brokerMessages.inc({ outcome: "confirmed" });
        trace?.confirmed();
        sent.state = "confirmed";
        this.#confirmed();
      },
      (error) => {
        metrics.brokerMessages.inc({ outcome: "failed" });
        trace?.failed(error);
        sent.state = "failed";
        this.#failed(error);
      },
    );
  }

  #confirmed(): void {
    const { onReplicated } = this.parts;
    this.#outage.succeeded();
    this.#failure = undefined;
    this.#backoff.reset();
    while (this.#underWay[0]?.state === "confirmed") {
      const { source, last } = this.#underWay.shift()!.group;
      if (last < (this.#heldBackFrom.get(source) ?? Infinity)) onReplicated(source, last);
    }
    if (this.#state === "running") this.notify();
  }

  #failed(error: unknown): void {
    if (this.#state !== "running") return;
    this.#failure = reasonOf(error);
    this.#outage.failed(error);
    this.#state = "backing off";
    this.#cancelRetry = this.parts.clock.setTimeout(() => {
      this.#state = "running";
      this.notify();
    }, this.#backoff.nextMs());
  }

  #tellIdle(): void {
    if (this.#underWay.length === 0 && this.#state === "running") this.#onIdle?.();
  }
}
