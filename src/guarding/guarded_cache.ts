/**
 * Puts a circuit breaker in front of a cache. `close` has none, as it must always get through.
 */
import type { Entry, Version } from "../domain.ts";
import type { Cache, FillToken } from "../ports/cache.ts";
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

  token(): Promise<FillToken | undefined> {
    return this.breaker.run(() => this.cache.token());
  }

  fill(entries: readonly Entry[], token: FillToken): Promise<boolean> {
    return this.breaker.run(() => this.cache.fill(entries, token));
  }

  forget(userId: string, atLeast?: Version): Promise<void> {
    return this.breaker.run(() => this.cache.forget(userId, atLeast));
  }

  close(): Promise<void> {
    return this.cache.close();
  }
}
