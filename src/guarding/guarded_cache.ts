/**
 * Puts a circuit breaker in front of a cache. `ping` and `close` have none: a ping is a question
 * about the cache, and a close must always get through.
 */
import type { Entry, Version } from "../domain.ts";
import type { Cache, CachedEntry } from "../ports/cache.ts";
import type { Breaker } from "./breaker.ts";

export class GuardedCache implements Cache {
  constructor(private readonly cache: Cache, private readonly breaker: Breaker) {}

  get(userId: string): Promise<CachedEntry | undefined> {
    return this.breaker.run(() => this.cache.get(userId));
  }

  update(entries: readonly Entry[]): Promise<void> {
    return this.breaker.run(() => this.cache.update(entries));
  }

  fill(entries: readonly Entry[]): Promise<void> {
    return this.breaker.run(() => this.cache.fill(entries));
  }

  forget(userId: string, atLeast?: Version): Promise<void> {
    return this.breaker.run(() => this.cache.forget(userId, atLeast));
  }

  ping(): Promise<void> {
    return this.cache.ping();
  }

  close(): Promise<void> {
    return this.cache.close();
  }
}
