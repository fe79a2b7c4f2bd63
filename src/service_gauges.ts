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

export function serviceGauges(config: Config, parts: ServiceGaugesParts): Gauges {
  const { clock, breakers, asked, deadLetters, leads } = parts;
  const { role, store, cache, queue, journal } = config;
  const status = () => asked().service.status;
  const checks = readinessChecks(asked);
  // However many scrape, the store is asked by one at a time.
  let counting: Promise<number> | undefined;
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
      counting ??= withDeadline(deadLetters(), SCRAPE_LIMIT_MS, "The store")
        .finally(() => counting = undefined);
      return await counting;
    },
    breakers,
    kinds: { role, store: store.kind, cache: cache.kind, queue: queue.kind },
  };
}
