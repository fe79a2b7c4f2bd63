/**
 * Stands between the journal and delivery where a broker does: the forwarder sends what is durable
 * to workers, and delivery is given what the store has of it.
 */
import type { PauseSwitch } from "../pause_switch.ts";
import type { Publisher } from "../ports/broker.ts";
import type { Clock } from "../ports/clock.ts";
import type { GroupSource } from "../ports/group_source.ts";
import type { GroupStore } from "../ports/group_store.ts";
import type { Source } from "../ports/source.ts";
import type { Store } from "../ports/store.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { Forwarder } from "./forwarder.ts";
import { StoredSource } from "./stored_source.ts";
import { Stragglers } from "./stragglers.ts";

export interface ForwardingParts {
  readonly publisher: Publisher;
  readonly store: Pick<Store, "marks">;
  readonly groups: Pick<GroupStore, "fold">;
  /** It is true of a source that goes by groups: of each with a broker, else of earlier runs. */
  readonly isForwarded: (source: string) => boolean;
  readonly pausing: PauseSwitch;
  /** It returns the identity of the store that groups are meant for; undefined while none knows. */
  readonly storeIdentity: () => string | undefined;
  readonly clock: Pick<Clock, "monotonicMs" | "setInterval" | "setTimeout">;
  readonly random: () => number;
  readonly metrics: Pick<Metrics, "brokerMessages">;
  readonly log: Log;
  readonly tracing?: Pick<Tracing, "send">;
}

interface Journal {
  readonly journal: Source & {
    groups(isWanted: (source: string) => boolean): GroupSource;
    readonly waitingSources: readonly string[];
  };
  /** It is told when the broker has confirmed a source through another number. */
  readonly onReplicated: (source: string, throughSeq: number) => void;
}

export class ForwardingHalf {
  /** Delivery takes from here. */
  readonly source: Source;
  readonly #forwarder: Forwarder;
  readonly #stragglers: Stragglers;

  constructor(parts: ForwardingParts, { journal, onReplicated }: Journal) {
    const sendAgain = () => this.#forwarder.restart();
    const { isForwarded } = parts;
    const waiting = () => journal.waitingSources.filter(isForwarded);
    this.source = new StoredSource({ ...parts, source: journal, onRewound: sendAgain });
    this.#forwarder = new Forwarder({
      ...parts,
      source: journal.groups(isForwarded),
      marks: () => parts.store.marks(waiting()),
      onReplicated,
      onNever: (group) => this.#stragglers.never(group),
      holdsBack: (group) => this.#stragglers.holdsBack(group),
    });
    this.#stragglers = new Stragglers({
      ...parts,
      waitingSources: waiting,
      sendAgain,
    });
  }

  /** It says why nothing reaches the broker just now; undefined while it does. */
  get failure(): string | undefined {
    return this.#forwarder.failure;
  }

  get isSending(): boolean {
    return this.#forwarder.isSending;
  }

  start(): void {
    this.#forwarder.start();
    this.#stragglers.start();
  }

  /** Is told that something became durable. */
  durable(): void {
    this.#forwarder.notify();
  }

  /** Resolves when the broker has confirmed all that is durable, or the signal fires. */
  drain(signal: AbortSignal): Promise<void> {
    return this.#forwarder.drain(signal);
  }

  async stop(): Promise<void> {
    this.#stragglers.stop();
    await this.#forwarder.stop();
  }
}
