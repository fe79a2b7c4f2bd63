/**
 * A cache server that keeps the promises of its port, and forgets everything when it feels like it.
 */
import { compareVersions, type Entry, type Version } from "../../src/domain.ts";
import { type Cache, CACHE_LATE_EFFECT_MS, type CachedEntry } from "../../src/ports/cache.ts";
import { SimulatedServer } from "./network.ts";
import type { Process, World } from "./world.ts";

interface Held {
  readonly cached: CachedEntry;
  readonly namespace: string;
  readonly expiresMs: number;
}

/** Left by a forget. */
interface Guard {
  readonly atLeast: Version;
  readonly namespace: string;
  readonly untilMs: number;
}

const GUARD_MS = 10_000;

export class SimulatedCache extends SimulatedServer {
  /** Answers reads, and refuses whatever would change it. */
  readOnly = false;
  readonly #guards = new Map<string, Guard>();
  readonly #held = new Map<string, Held>();

  constructor(world: World, private readonly ttlMs: number) {
    super(world, "cache", 0.4, 250, true);
  }

  client(process: Process, namespace: () => string | undefined): Cache {
    const setMany = (entries: readonly Entry[], complete: boolean) => {
      const notAfterMs = this.world.nowMs + CACHE_LATE_EFFECT_MS;
      const name = namespace();
      return this.call(process, `set ${entries.length}`, () => {
        if (name === undefined) throw new Error("nobody knows yet whose copies these are");
        if (this.world.nowMs > notAfterMs) throw new Error("the set came too late");
        this.#refuseReadOnly();
        this.#set(entries, complete, name);
      });
    };
    return {
      get: (userId) => {
        const name = namespace();
        return this.call(process, "get", () => this.#get(userId, name));
      },
      update: (entries) => setMany(entries, false),
      fill: (entries) => setMany(entries, true),
      forget: (userId, atLeast) => {
        const name = namespace();
        return this.call(process, "forget", () => {
          this.#refuseReadOnly();
          this.#forget(userId, atLeast, name);
        });
      },
      ping: () => this.call(process, "ping", () => {}),
      close: () => Promise.resolve(),
    };
  }

  /** FLUSHALL, a restart, or a failover, after which nothing from before is answered any more. */
  flush(): void {
    this.#held.clear();
    this.#guards.clear();
  }

  #forget(userId: string, atLeast: Version | undefined, namespace: string | undefined): void {
    const present = this.#held.get(userId);
    this.#held.delete(userId);
    if (atLeast === undefined || namespace === undefined) return;
    const versions = [atLeast, ...present?.namespace === namespace ? [present.cached.entry] : []];
    const guard = this.#guards.get(userId);
    if (guard?.namespace === namespace && guard.untilMs > this.world.nowMs) {
      versions.push(guard.atLeast);
    }
    versions.sort(compareVersions);
    this.#guards.set(userId, {
      atLeast: versions.at(-1)!,
      namespace,
      untilMs: this.world.nowMs + GUARD_MS,
    });
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
      const guard = this.#guards.get(entry.userId);
      const isGuarded = guard?.namespace === namespace && guard.untilMs > this.world.nowMs;
      if (isGuarded && compareVersions(entry, guard.atLeast) < 0) continue;
      const present = this.#get(entry.userId, namespace);
      const isOlder = present !== undefined && compareVersions(entry, present.entry) < 0;
      if (isOlder && !complete) continue;
      const cached: CachedEntry = {
        entry: isOlder ? present.entry : entry,
        complete: complete || present?.complete === true,
        source: "redis",
      };
      this.world.trace(
        `cache has ${cached.entry.value.split(":")[0]} ${
          cached.complete ? "complete" : "incomplete"
        }`,
      );
      this.#held.set(entry.userId, { cached, namespace, expiresMs });
    }
  }
}
