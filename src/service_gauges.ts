/** Says what a scrape reads of the service at that moment. */
import type { Config } from "./config/config.ts";
import { withDeadline } from "./deadline.ts";
import type { Clock } from "./ports/clock.ts";
import { type Asked, readinessChecks } from "./readiness.ts";
import type { Gauges } from "./telemetry/gauges.ts";

interface ServiceGaugesParts {
  readonly clock: Pick<Clock, "now">;
  readonly breakers: Gauges["breakers"];
  /** It is asked at a scrape, when all of it has been made. */
  readonly asked: () => Asked;
  readonly deadLetters: () => Promise<number>;
  readonly leads: () => boolean;
}

/** A scrape must not wait for a store that is away. */
const SCRAPE_LIMIT_MS = 500;

/** With so many entries that wait, the store has something better to do than to answer a scrape. */
const BUSY_DEPTH = 500;

/** However many scrape, the store is asked for this by one at a time. */
class DeadLetterCount {
  #last: number | undefined;
  #counting: Promise<number> | undefined;

  constructor(private readonly ask: () => Promise<number>) {}

  /** @param isBusy has the number that is known do, while the store is asked for the next one */
  async read(isBusy: boolean): Promise<number> {
    const counting = this.#counting ??= this.#count().finally(() => this.#counting = undefined);
    // Its failure is that of the scrape that waits for it, or of nobody.
    counting.catch(() => {});
    if (isBusy && this.#last !== undefined) return this.#last;
    return await withDeadline(counting, SCRAPE_LIMIT_MS, "The store");
  }

  /** Who scrapes does not wait for so long; the number is there for the next one. */
  async #count(): Promise<number> {
    return this.#last = await this.ask();
  }
}

export function serviceGauges(config: Config, parts: ServiceGaugesParts): Gauges {
  const { clock, breakers, asked, deadLetters, leads } = parts;
  const { role, store, cache, queue, journal } = config;
  const status = () => asked().service.status;
  const checks = readinessChecks(asked);
  const count = new DeadLetterCount(deadLetters);
  return {
    queueDepth: () => status()?.depth ?? 0,
    queueOldestAgeSeconds: () => {
      const oldestMs = status()?.oldestAcceptedMs;
      return oldestMs === undefined ? 0 : Math.max(0, clock.now() - oldestMs) / 1000;
    },
    journalBytes: () => status()?.bytes ?? 0,
    journalRetainedBytes: () => status()?.retainedBytes ?? 0,
    journalMaxBytes: () => role === "worker" ? undefined : journal.maxBytes,
    journalHasFailed: () => status()?.failure !== undefined,
    isReady: () => checks.every((check) => check.failure() === undefined),
    isBrokerUp: () =>
      queue.kind === "journal" ? undefined : asked().service.brokerFailure === undefined,
    leads,
    deadLetters: async () => {
      const { phase } = asked().service;
      if (phase === "starting" || phase === "recovering") {
        throw new Error("The store is not asked yet");
      }
      return await count.read((status()?.depth ?? 0) > BUSY_DEPTH);
    },
    breakers,
    kinds: { role, store: store.kind, cache: cache.kind, queue: queue.kind },
  };
}
