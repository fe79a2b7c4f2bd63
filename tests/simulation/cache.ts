/** A cache server that keeps the promises of its port, and forgets everything when it feels like it. */
import { compareVersions, type Entry } from "../../src/domain.ts";
import { type Cache, CACHE_LATE_EFFECT_MS, type CachedEntry } from "../../src/ports.ts";
import { SimulatedServer } from "./network.ts";
import type { Process, World } from "./world.ts";

interface Held {
  readonly cached: CachedEntry;
  readonly expiresMs: number;
}

export class SimulatedCache extends SimulatedServer {
  readonly #held = new Map<string, Held>();

  constructor(world: World, private readonly ttlMs: number) {
    super(world, "cache", 0.4, 250, true);
  }

  client(process: Process): Cache {
    return {
      get: (userId) => this.call(process, "get", () => this.#get(userId)),
      setMany: (entries, complete) => {
        const notAfterMs = this.world.nowMs + CACHE_LATE_EFFECT_MS;
        return this.call(process, `set ${entries.length}`, () => {
          if (this.world.nowMs <= notAfterMs) return this.#set(entries, complete);
          throw new Error("the set came too late");
        });
      },
      forget: (userId) => this.call(process, "forget", () => void this.#held.delete(userId)),
      ping: () => this.call(process, "ping", () => {}),
      close: () => Promise.resolve(),
    };
  }

  /** FLUSHALL, a restart, or a failover, after which nothing from before is answered any more. */
  flush(): void {
    this.#held.clear();
  }

  #get(userId: string): CachedEntry | undefined {
    const held = this.#held.get(userId);
    return held === undefined || held.expiresMs <= this.world.nowMs ? undefined : held.cached;
  }

  #set(entries: readonly Entry[], complete: boolean): void {
    const expiresMs = this.world.nowMs + this.ttlMs;
    for (const entry of entries) {
      const present = this.#get(entry.userId);
      const isOlder = present !== undefined && compareVersions(entry, present.entry) < 0;
      if (isOlder && !complete) continue;
      const cached: CachedEntry = {
        entry: isOlder ? present.entry : entry,
        complete: complete || present?.complete === true,
        source: "redis",
      };
      this.world.trace(`cache has ${cached.entry.value.split(":")[0]} ${cached.complete ? "complete" : "incomplete"}`);
      this.#held.set(entry.userId, { cached, expiresMs });
    }
  }
}
