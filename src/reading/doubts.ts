/**
 * Knows whose copies in the cache are not believed, and until when: a call that failed may have left
 * an older one there, and an earlier run may have left many.
 */
import { type Entry } from "../domain.ts";
import { CACHE_LATE_EFFECT_MS } from "../ports/cache.ts";
import type { Clock } from "../ports/clock.ts";

/**
 * A suspect costs some 100 bytes; above this number all copies are passed over until they have
 * expired.
 */
const MAX_SUSPECTS = 100_000;
/** As many may be trusted; whoever is not among them has to be looked up. */
const MAX_TRUSTED = 100_000;

/**
 * The copy may be older than an acknowledged write (`outdated`), or of an entry that the store has
 * refused, so that it must not be read at all.
 */
export type Doubt = "outdated" | "refused";

interface Suspicion {
  readonly doubt: Doubt;
  /** The copy has expired then at the latest, by the monotonic clock. */
  readonly untilMs: number;
}

/** It is what was doubted of a user at one moment, so that what arises later is told from it. */
interface Standing {
  readonly suspicion: Suspicion | undefined;
  readonly allUntilMs: number | undefined;
}

interface DoubtsParts {
  /** The cache keeps a copy for so long. */
  readonly ttlMs: number;
  readonly clock: Pick<Clock, "monotonicMs">;
}

export class Doubts {
  readonly #suspects = new Map<string, Suspicion>();
  #allUntilMs: number | undefined;
  /** While all others are suspect, the copies of these were put right since. */
  readonly #trusted = new Set<string>();

  constructor(private readonly parts: DoubtsParts) {}

  get areThere(): boolean {
    this.#dropExpired();
    return this.#suspects.size > 0 || this.#allUntilMs !== undefined;
  }

  of(userId: string): Doubt | undefined {
    if (this.#suspects.size === 0 && this.#allUntilMs === undefined) return undefined;
    this.#dropExpired();
    if (this.#allUntilMs !== undefined && !this.#trusted.has(userId)) return "refused";
    return this.#suspects.get(userId)?.doubt;
  }

  suspect(entries: readonly Pick<Entry, "userId">[], doubt: Doubt): void {
    const untilMs = this.#latestExpiryMs();
    for (const { userId } of entries) {
      this.#trusted.delete(userId);
      const isRefused = this.#suspects.get(userId)?.doubt === "refused";
      // Deleted first, so that the order of the map is the order of expiry.
      this.#suspects.delete(userId);
      this.#suspects.set(userId, { untilMs, doubt: isRefused ? "refused" : doubt });
    }
    if (this.#suspects.size > MAX_SUSPECTS) this.suspectAll();
  }

  suspectAll(): void {
    this.#suspects.clear();
    this.#trusted.clear();
    this.#allUntilMs = this.#latestExpiryMs();
  }

  /** Has to be asked before a copy is put right, for {@link putRight}. */
  stand(userId: string): Standing {
    return { suspicion: this.#suspects.get(userId), allUntilMs: this.#allUntilMs };
  }

  /** A copy was put right, which ends what was doubted of it before. */
  putRight(userId: string, { suspicion, allUntilMs }: Standing): void {
    // A doubt that arose meanwhile is about a newer write.
    if (this.#suspects.get(userId) !== suspicion || this.#allUntilMs !== allUntilMs) return;
    if (!this.#isOver(suspicion?.untilMs) || !this.#isOver(allUntilMs)) return;
    this.#suspects.delete(userId);
    if (this.#allUntilMs !== undefined && this.#trusted.size < MAX_TRUSTED) {
      this.#trusted.add(userId);
    }
  }

  /** Returns when a copy that is there now, or comes late, has expired at the latest. */
  #latestExpiryMs(): number {
    return this.parts.clock.monotonicMs() + CACHE_LATE_EFFECT_MS + this.parts.ttlMs;
  }

  /**
   * Returns true when nothing of what raised a doubt can take effect any more, and undo what has
   * put it right.
   */
  #isOver(untilMs: number | undefined): boolean {
    return untilMs === undefined || this.parts.clock.monotonicMs() >= untilMs - this.parts.ttlMs;
  }

  #dropExpired(): void {
    const now = this.parts.clock.monotonicMs();
    if (this.#allUntilMs !== undefined && this.#allUntilMs <= now) {
      this.#allUntilMs = undefined;
      this.#trusted.clear();
    }
    for (const [userId, { untilMs }] of this.#suspects) {
      if (untilMs > now) return;
      this.#suspects.delete(userId);
    }
  }
}
