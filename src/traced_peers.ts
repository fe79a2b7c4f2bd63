/** Says by which names spans speak of what is configured. */
import type { Config } from "./config/config.ts";
import type { Peers } from "./telemetry/spans.ts";

export function peersOf(
  { store, cache, queue }: Pick<Config, "store" | "cache" | "queue">,
): Peers {
  return {
    store: store.kind === "postgres"
      ? { system: "postgresql", namespace: store.database }
      : { system: "sqlite" },
    cacheSystem: cache.kind === "redis" ? "redis" : undefined,
    broker: queue.kind === "journal" ? undefined : {
      system: queue.kind,
      destination: queue.kind === "rabbitmq" ? queue.queue : queue.topic,
    },
  };
}
