/**
 * Remembers what reads found out last, for three occasions: a user that nobody has written is not
 * looked up again at once; while no tier can answer, an answer that was right a few minutes ago
 * is better than none; and what was once answered is not followed by what is older. Readers tell
 * what they found; whoever accepts writes tells what these outdate.
 */
import { LRUCache } from "lru-cache";
import { compareVersions, type Entry } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf, pack, type PackedEntry, unpack } from "../packed.ts";
import type { Clock } from "../ports/clock.ts";

/**
 * An absence is believed for so long, as another instance may write the user. The shared cache most
 * often tells of that before; of a backlog it does not tell of users whom it has no value of.
 */
const ABSENT_MS = 500;

/** An answer that is found again within this part of its time need not be kept anew. */
const RENEWED_AFTER = 1 / 16;

interface Answer {
  readonly entry: PackedEntry;
  /** It was found then, by the monotonic clock. */
  readonly foundMs: number;
}

export class LastKnown {
  readonly #answers: LRUCache<string, Answer>;
  /** These users are not there. */
  readonly #absences: LRUCache<string, true>;

  /** @param staleMs how long an answer may be given without asking anybody */
  constructor(
    private readonly staleMs: number,
    private readonly clock: Pick<Clock, "monotonicMs">,
  ) {
    // Without a resolution of 0 the package starts timers to know when to read the clock again.
    const time = { ttlResolution: 0, perf: { now: () => clock.monotonicMs() } };
    this.#answers = new LRUCache<string, Answer>({
      ...time,
      ttl: staleMs,
      maxSize: MEMORY_BUDGET.lastAnswers.bytes,
      sizeCalculation: ({ entry }) => bytesOf(entry),
    });
    this.#absences = new LRUCache<string, true>({
      ...time,
      ttl: ABSENT_MS,
      maxSize: MEMORY_BUDGET.absences.bytes,
      sizeCalculation: (_, userId) => bytesOf({ userId, value: "" }),
    });
  }

  /**
   * A read has just found this entry, and it is the newest that any tier has.
   * @returns what a read found before, when that is newer: then this entry is not kept
   */
  found(entry: Entry): Entry | undefined {
    if (this.#absences.size > 0) this.#absences.delete(entry.userId);
    const answer = this.#answers.peek(entry.userId, { allowStale: true });
    const nowMs = this.clock.monotonicMs();
    // A row that others inserted has no run, and may be changed by them.
    const order = answer === undefined || answer.entry.run === ""
      ? -1
      : compareVersions(answer.entry, entry);
    if (order > 0 && this.#answers.has(entry.userId)) return unpack(answer!.entry);
    // The same entry is most often found again: what was packed is not packed anew.
    const isSame = answer !== undefined && order === 0;
    if (isSame && nowMs - answer.foundMs < this.staleMs * RENEWED_AFTER) return;
    const found = { entry: isSame ? answer.entry : pack(entry), foundMs: nowMs };
    this.#answers.set(entry.userId, found);
  }

  /** A read has just found out that there is no entry. */
  foundNothing(userId: string): void {
    this.#answers.delete(userId);
    this.#absences.set(userId, true);
  }

  /** A write was acknowledged that may still come to nothing: neither answer can be given now. */
  accepted(userId: string): void {
    this.forget(userId);
  }

  /** An entry became durable: an older finding must not be answered any more. */
  wrote(entry: Entry): void {
    // A start tells of a million entries, when nothing is known yet.
    if (this.#absences.size > 0) this.#absences.delete(entry.userId);
    const answer = this.#answers.size > 0 ? this.#answers.peek(entry.userId) : undefined;
    if (answer === undefined) return;
    // What others wrote since the answer was found is no better known than before.
    if (compareVersions(entry, answer.entry) > 0) {
      const { foundMs } = answer;
      this.#answers.set(entry.userId, { entry: pack(entry), foundMs }, { noUpdateTTL: true });
    }
  }

  /** Drops an entry that came to nothing, so that it is not the last answer of who read it. */
  withdrew(entry: Entry): void {
    const answer = this.#answers.peek(entry.userId);
    if (answer !== undefined && compareVersions(answer.entry, entry) === 0) {
      this.forget(entry.userId);
    }
  }

  /** Drops all that is known of the user. */
  forget(userId: string): void {
    this.#absences.delete(userId);
    this.#answers.delete(userId);
  }

  /**
   * Returns true when nothing was there a moment ago, and this instance has written nothing since.
   */
  isAbsent(userId: string): boolean {
    return this.#absences.has(userId);
  }

  /** Returns the last answer, while it is not too old. */
  lastAnswer(userId: string): Entry | undefined {
    const answer = this.#answers.get(userId);
    return answer && unpack(answer.entry);
  }
}
