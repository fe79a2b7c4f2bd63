/**
 * Leads the life of a worker: it answers health, metrics and dead letters, and brings what a broker
 * gives it to the store. It keeps nothing on disk.
 */
import type { Applier } from "./applying/applier.ts";
import { ClosingList } from "./closing_list.ts";
import { withDeadline } from "./deadline.ts";
import type { Attendant, Outward, Phase } from "./service_parts.ts";
import type { Log } from "./telemetry/log.ts";

interface WorkerParts {
  readonly front: {
    /** @returns the base URL. @throws when the address cannot be bound */
    listenAsWorker(): Promise<string>;
    close(): Promise<void>;
  };
  readonly store: { close(): Promise<void> };
  readonly cache: { close(): Promise<void> };
  readonly applier: Applier;
  readonly attendants: readonly Attendant[];
  readonly log: Log;
}

/** A worker answers scrapes and probes, which take no longer. */
const CLOSING_MS = 5_000;
const EMPTY_JOURNAL = { bytes: 0, retainedBytes: 0, failure: undefined, lackOfRoom: undefined };

export class WorkerService {
  #phase: Phase = "starting";
  #stopping: Promise<void> | undefined;
  readonly #closing: ClosingList<"store" | "cache" | "listener" | "attendants">;

  constructor(private readonly parts: WorkerParts) {
    const { store, cache, log } = parts;
    this.#closing = new ClosingList(() => {}, log);
    this.#closing.add("store", () => store.close());
    this.#closing.add("cache", () => cache.close());
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** A worker has no journal: what waits here is at the broker, too. */
  get status() {
    const { depth, oldestAcceptedMs } = this.parts.applier;
    return { ...EMPTY_JOURNAL, depth, oldestAcceptedMs };
  }

  get outward(): Outward {
    return this.parts.applier;
  }

  get refusal(): string | undefined {
    return this.parts.applier.refusal;
  }

  get brokerFailure(): string | undefined {
    return this.parts.applier.brokerFailure;
  }

  get storeFailure(): string | undefined {
    return this.parts.applier.failure;
  }

  async start(): Promise<string> {
    const { front, attendants } = this.parts;
    try {
      const url = await front.listenAsWorker();
      this.#closing.add("listener", () => this.#closeFront());
      for (const attendant of attendants) attendant.start();
      this.#closing.add("attendants", async () => {
        for (const attendant of attendants) await attendant.stop();
      });
      this.#phase = "serving";
      return url;
    } catch (error) {
      // What went wrong first is what a person has to know, and it is thrown.
      await this.#closing.closeAll();
      throw error;
    }
  }

  /** Ends the flush under way, gives the rest back to the broker, and closes everything. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** An idle connection can keep it from ever being done. */
  async #closeFront(): Promise<void> {
    const { front, log } = this.parts;
    try {
      await withDeadline(front.close(), CLOSING_MS, "The listener");
    } catch (error) {
      log.warn("Requests were still open at the end", { event: "stop-incomplete", error });
    }
  }

  async #stop(): Promise<void> {
    this.#phase = "draining";
    const failed = await this.#closing.closeAll();
    this.parts.log.info("Stopped", { event: "stopped" });
    if (failed !== undefined) throw failed.error;
  }
}
