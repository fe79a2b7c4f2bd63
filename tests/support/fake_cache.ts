/** A cache in memory, as exact as its port asks, that fails when it is told to. */
import { compareVersions, type Entry } from "../../src/domain.ts";
import type { Cache, CachedEntry, FillToken } from "../../src/ports/cache.ts";

export class FakeCache implements Cache {
  readonly held = new Map<string, CachedEntry>();
  /** The entries of each update and fill that was asked for, in order; those that fail, too. */
  readonly offered: (readonly Entry[])[] = [];
  /** Every call fails with it. */
  failWith: Error | undefined;
  #storedUpdates = 0;

  get(userId: string): Promise<CachedEntry | undefined> {
    return this.#call(() => this.held.get(userId));
  }
  update(entries: readonly Entry[], areStored = false): Promise<void> {
    if (areStored) this.#storedUpdates++;
    return this.#offer(entries, false);
  }
  token(): Promise<FillToken> {
    return this.#call(() => String(this.#storedUpdates));
  }
  async fill(entries: readonly Entry[], token: FillToken): Promise<boolean> {
    if (token !== String(this.#storedUpdates)) return false;
    await this.#offer(entries, true);
    return true;
  }
  forget(userId: string): Promise<void> {
    this.#storedUpdates++;
    return this.#call(() => void this.held.delete(userId));
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  #offer(entries: readonly Entry[], cameFromStore: boolean): Promise<void> {
    this.offered.push(entries);
    return this.#call(() => {
      for (const entry of entries) {
        const present = this.held.get(entry.userId);
        const isOlder = present !== undefined && compareVersions(entry, present.entry) < 0;
        this.held.set(entry.userId, {
          entry: isOlder ? present.entry : entry,
          complete: cameFromStore || present?.complete === true,
          source: "redis",
        });
      }
    });
  }

  #call<T>(work: () => T): Promise<T> {
    return this.failWith === undefined
      ? Promise.resolve().then(work)
      : Promise.reject(this.failWith);
  }
}
