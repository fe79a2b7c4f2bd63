/**
 * What reads found out last, for two occasions: a user that nobody has written is not looked up
 * again at once, and while no tier can answer, an answer that was right a few minutes ago is better
 * than none.
 */
import { LRUCache } from "lru-cache";
import { type Entry, newest } from "../domain.ts";
import type { Clock } from "../ports/clock.ts";

interface Answer {
  readonly entry: Entry;
  readonly foundMs: number;
}

/**
 * Another instance may write the user; the shared cache tells at once, the store within this time.
 */
const ABSENT_MS = 1_000;
const MAX_ANSWERS_BYTES = 64 * 1024 * 1024;
/** Whoever asks for ever other users that do not exist gets no more memory for it. */
const MAX_ABSENCES_BYTES = 2 * 1024 * 1024;
/** What a finding costs besides its text, rather too high. */
const OVERHEAD_BYTES = 256;

export class LastKnown {
  readonly #answers = new LRUCache<string, Answer>({
    maxSize: MAX_ANSWERS_BYTES,
    sizeCalculation: ({ entry }, userId) =>
      OVERHEAD_BYTES + 2 * (userId.length + entry.value.length),
  });
  /** Users that are not there → when that was found out. */
  readonly #absences = new LRUCache<string, number>({
    maxSize: MAX_ABSENCES_BYTES,
    sizeCalculation: (_, userId) => OVERHEAD_BYTES + 2 * userId.length,
  });

  /** @param staleMs how long an answer may be given without asking anybody */
  constructor(
    private readonly staleMs: number,
    private readonly clock: Pick<Clock, "monotonicMs">,
  ) {}

  /** A read has just found this entry, and it is the newest there is. */
  found(entry: Entry): void {
    this.#absences.delete(entry.userId);
    this.#answers.set(entry.userId, { entry, foundMs: this.clock.monotonicMs() });
  }

  /** A read has just found out that there is none. */
  foundNothing(userId: string): void {
    this.#answers.delete(userId);
    this.#absences.set(userId, this.clock.monotonicMs());
  }

  /** An entry became durable: an older finding must not be answered any more. */
  wrote(entry: Entry): void {
    this.#absences.delete(entry.userId);
    const answer = this.#answers.peek(entry.userId);
    if (answer === undefined) return;
    this.#answers.set(entry.userId, { ...answer, entry: newest(answer.entry, entry) ?? entry });
  }

  forget(userId: string): void {
    this.#absences.delete(userId);
    this.#answers.delete(userId);
  }

  /** Nothing was there a moment ago, and this instance has written nothing since. */
  isAbsent(userId: string): boolean {
    const foundMs = this.#absences.get(userId);
    return foundMs !== undefined && this.#ageMs(foundMs) < ABSENT_MS;
  }

  /** The last answer, while it is not too old. */
  stale(userId: string): Entry | undefined {
    const answer = this.#answers.get(userId);
    return answer !== undefined && this.#ageMs(answer.foundMs) < this.staleMs
      ? answer.entry
      : undefined;
  }

  #ageMs(foundMs: number): number {
    return this.clock.monotonicMs() - foundMs;
  }
}
