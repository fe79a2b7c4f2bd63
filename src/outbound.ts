/**
 * Brings what is durable out of the journal: to the store by delivery, or first to a broker by the
 * forwarder, after which delivery settles what workers have brought to the store.
 */
import type { DrainOutcome } from "./delivery/batcher.ts";
import { DeliveryHalf } from "./delivery/delivery_half.ts";
import type { Settlement } from "./delivery/delivery.ts";
import type { Entry } from "./domain.ts";
import { ForwardingHalf, type ForwardingParts } from "./forwarding/forwarding_half.ts";
import type { JournalPorts, Outward, ServiceParts } from "./service_parts.ts";

interface OutboundParts extends
  Pick<
    ServiceParts,
    | "batch"
    | "makeSink"
    | "cache"
    | "clock"
    | "metrics"
    | "log"
    | "pausing"
    | "random"
    | "tracing"
  > {
  readonly journal: JournalPorts;
  /** It is undefined where all goes to the store directly. */
  readonly forwarding: ForwardingParts | undefined;
  readonly onSettled: (settlement: Settlement) => void;
  readonly onReplicated: (throughSeq: number) => void;
  readonly isAwaited: () => boolean;
}

export class Outbound implements Outward {
  readonly #delivery: DeliveryHalf;
  readonly #forwarding: ForwardingHalf | undefined;

  constructor(private readonly parts: OutboundParts) {
    const { journal, forwarding, onReplicated } = parts;
    this.#forwarding = forwarding && new ForwardingHalf(forwarding, {
      journal,
      onReplicated: (source, throughSeq) => source === journal.run && onReplicated(throughSeq),
    });
    this.#delivery = new DeliveryHalf(parts.batch, {
      ...parts,
      source: this.#forwarding?.source ?? journal,
      sink: parts.makeSink(journal.run),
    });
  }

  /** It says why the store takes nothing at all, though it answers; undefined while it does. */
  get refusal(): string | undefined {
    return this.#delivery.refusal;
  }

  /** It says why the broker takes nothing just now; undefined while it does, or where none is. */
  get brokerFailure(): string | undefined {
    return this.#forwarding?.failure;
  }

  get isBusy(): boolean {
    return this.#delivery.state === "flushing" || this.#forwarding?.isSending === true;
  }

  flushNow(): () => boolean {
    const { journal } = this.parts;
    const { durable } = journal.status();
    this.#forwarding?.durable();
    this.#delivery.flushNow();
    return () => {
      // One flush has a batch at most; what failed waits for its time.
      if (this.#delivery.state === "idle") this.#delivery.flushNow();
      // Entries of earlier runs come before those of this one.
      return journal.status().settled >= durable &&
        journal.waitingSources.every((source) => source === journal.run);
    };
  }

  start(): void {
    this.#forwarding?.start();
    this.#delivery.start();
  }

  /** Is told that these are on disk now. */
  durable(entries: readonly Entry[]): void {
    this.#delivery.durable(entries);
    this.#forwarding?.durable();
  }

  /** Brings on all there is until the signal fires: to the broker where there is one. */
  async drain(signal: AbortSignal): Promise<DrainOutcome> {
    await this.#forwarding?.drain(signal);
    return await this.#delivery.drain(signal);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#forwarding?.stop(), this.#delivery.stop()]);
  }

  /** Lets whatever is still under way settle nothing, as another one may be at work by then. */
  giveUp(): void {
    this.#delivery.giveUp();
  }
}
