/**
 * What reads found out last, for two occasions: a user that nobody has written is not looked up again at once, and while no
 * tier can answer, an answer that was right a few minutes ago is better than none.
 */
import { LRUCache } from "lru-cache";
import { type Entry, newest } from "./domain.ts";
import type { Clock } from "./ports.ts";

interface Finding {
  /** undefined: there was nothing. */
  readonly entry: Entry | undefined;
  readonly foundMs: number;
}

/** Another instance may write the user; the shared cache tells at once, the store within this time. */
const ABSENT_MS = 1_000;
const MAX_BYTES = 64 * 1024 * 1024;
/** What a finding costs besides its text, rather too high. */
const OVERHEAD_BYTES = 256;

export class LastKnown {
  readonly #findings = new LRUCache<string, Finding>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ entry }, userId) => OVERHEAD_BYTES + 2 * (userId.length + (entry?.value.length ?? 0)),
  });

  /** @param staleMs how long an answer may be given without asking anybody */
  constructor(private readonly staleMs: number, private readonly clock: Pick<Clock, "monotonicMs">) {}

  /** A read has just found this out, and it is the whole truth. */
  found(userId: string, entry: Entry | undefined): void {
    this.#findings.set(userId, { entry, foundMs: this.clock.monotonicMs() });
  }

  /** An entry became durable: an older finding must not be answered any more. */
  wrote(entry: Entry): void {
    const finding = this.#findings.peek(entry.userId);
    if (finding === undefined) return;
    if (finding.entry === undefined) this.forget(entry.userId);
    else this.#findings.set(entry.userId, { ...finding, entry: newest(finding.entry, entry) });
  }

  forget(userId: string): void {
    this.#findings.delete(userId);
  }

  /** Nothing was there a moment ago, and this instance has written nothing since. */
  isAbsent(userId: string): boolean {
    const finding = this.#findings.get(userId);
    return finding !== undefined && finding.entry === undefined && this.#ageMs(finding) < ABSENT_MS;
  }

  /** The last answer, while it is not too old. */
  stale(userId: string): Entry | undefined {
    const finding = this.#findings.get(userId);
    return finding !== undefined && this.#ageMs(finding) < this.staleMs ? finding.entry : undefined;
  }

  #ageMs({ foundMs }: Finding): number {
    return this.clock.monotonicMs() - foundMs;
  }
}
