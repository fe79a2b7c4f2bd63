/** A cache server that keeps the promises of its port, and forgets everything when it feels like it. */
import { compareVersions, type Entry } from "../../src/domain.ts";
import { type Cache, CACHE_LATE_EFFECT_MS, type CachedEntry } from "../../src/ports.ts";
import { SimulatedServer } from "./network.ts";
import type { Process, World } from "./world.ts";

interface Held {
  readonly cached: CachedEntry;
  readonly namespace: string;
  readonly expiresMs: number;
}

export class SimulatedCache extends SimulatedServer {
  /** Answers reads, and refuses whatever would change it. */
  readOnly = false;
  readonly #held = new Map<string, Held>();

  constructor(world: World, private readonly ttlMs: number) {
    super(world, "cache", 0.4, 250, true);
  }

  client(process: Process, namespace: () => string | undefined): Cache {
    return {
      get: (userId) => {
        const name = namespace();
        return this.call(process, "get", () => this.#get(userId, name));
      },
      setMany: (entries, complete) => {
        const notAfterMs = this.world.nowMs + CACHE_LATE_EFFECT_MS;
        const name = namespace();
        return this.call(process, `set ${entries.length}`, () => {
          if (name === undefined) throw new Error("nobody knows yet whose copies these are");
          if (this.world.nowMs > notAfterMs) throw new Error("the set came too late");
          this.#refuseReadOnly();
          this.#set(entries, complete, name);
        });
      },
      forget: (userId) =>
        this.call(process, "forget", () => {
          this.#refuseReadOnly();
          this.#held.delete(userId);
        }),
      ping: () => this.call(process, "ping", () => {}),
      close: () => Promise.resolve(),
    };
  }

  /** FLUSHALL, a restart, or a failover, after which nothing from before is answered any more. */
  flush(): void {
    this.#held.clear();
  }

  /** What an instance that knows `namespace` is told. */
  complete(userId: string, namespace: string): Entry | undefined {
    const held = this.#get(userId, namespace);
    return held?.complete ? held.entry : undefined;
  }

  #refuseReadOnly(): void {
    if (!this.readOnly) return;
    this.world.fault("cache read-only");
    throw new Error("READONLY You can't write against a read only replica");
  }

  #get(userId: string, namespace: string | undefined): CachedEntry | undefined {
    const held = this.#held.get(userId);
    if (held === undefined || held.namespace !== namespace) return undefined;
    return held.expiresMs > this.world.nowMs ? held.cached : undefined;
  }

  #set(entries: readonly Entry[], complete: boolean, namespace: string): void {
    const expiresMs = this.world.nowMs + this.ttlMs;
    for (const entry of entries) {
      const present = this.#get(entry.userId, namespace);
      const isOlder = present !== undefined && compareVersions(entry, present.entry) < 0;
      if (isOlder && !complete) continue;
      const cached: CachedEntry = {
        entry: isOlder ? present.entry : entry,
        complete: complete || present?.complete === true,
        source: "redis",
      };
      this.world.trace(`cache has ${cached.entry.value.split(":")[0]} ${cached.complete ? "complete" : "incomplete"}`);
      this.#held.set(entry.userId, { cached, namespace, expiresMs });
    }
  }
}
