/**
 * Puts a circuit breaker in front of a cache. `ping` and `close` have none: a ping is a question
 * about the cache, and a close must always get through.
 */
import type { Entry, Version } from "../domain.ts";
import type { Cache } from "../ports/cache.ts";
import { type Breaker, CLOSED } from "./breaker.ts";

export class GuardedCache implements Cache {
  constructor(private readonly cache: Cache, private readonly breaker: Breaker) {}

  /** What the cache has in memory says nothing about whether it can be reached. */
  get(userId: string): ReturnType<Cache["get"]> {
    if (this.breaker.state !== CLOSED) {
      return this.breaker.run(async () => await this.cache.get(userId));
    }
    const found = this.cache.get(userId);
    return found instanceof Promise ? this.breaker.run(() => found) : found;
  }

  update(entries: readonly Entry[], areStored?: boolean): Promise<void> {
    return this.breaker.run(() => this.cache.update(entries, areStored));
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
