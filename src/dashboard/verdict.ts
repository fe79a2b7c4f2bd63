/**
 * Says in one plain sentence how it stands: all is well, or what is wrong, since when, and what to
 * do. It goes by whether writes reach the store, and not by errors alone: who counts only those
 * sees nothing wrong with an instance that has stopped sending.
 */
import * as delivery from "./delivery_rules.ts";
import type { Facts, Finding, Rule } from "./facts.ts";
import * as other from "./other_rules.ts";
import type { Verdict } from "./snapshot.ts";
import { duration } from "./wording.ts";

/** Nobody says that something has been so for 0 s. */
const SHORTEST_MS = 1_000;

/** They are tried in the order of their gravity. */
const RULES: readonly Rule[] = [
  delivery.journalFailed,
  delivery.journalFull,
  delivery.notServing,
  delivery.storeAway,
  delivery.storeRefuses,
  delivery.flushesFail,
  other.drained,
  other.paused,
  delivery.back,
  delivery.stalled,
  delivery.filling,
  delivery.growing,
  other.redisAway,
  other.brokerAway,
  other.deadLetters,
  other.audited,
  other.leaderless,
  other.otherInstance,
];

/** Remembers since when each thing has been found. */
export class Judge {
  readonly #sinceMs = new Map<string, number>();
  #wellSinceMs: number | undefined;

  /** Returns all that was found, problems before warnings; or that all is well. */
  judge(facts: Facts): readonly [Verdict, ...Verdict[]] {
    const findings = RULES.map((rule) => rule(facts)).filter((finding) => finding !== undefined);
    for (const code of this.#sinceMs.keys()) {
      if (findings.every((finding) => finding.code !== code)) this.#sinceMs.delete(code);
    }
    const verdicts = findings.map((finding) => this.#verdictOf(finding, facts.nowMs))
      .filter((verdict) => verdict !== undefined);
    const [first, ...rest] = [
      ...verdicts.filter(({ level }) => level === "problem"),
      ...verdicts.filter(({ level }) => level !== "problem"),
    ];
    if (first !== undefined) {
      this.#wellSinceMs = undefined;
      return [first, ...rest];
    }
    this.#wellSinceMs ??= facts.nowMs;
    return [{
      level: "well",
      code: "well",
      text: "All is well.",
      sinceMs: this.#wellSinceMs,
      advice: null,
    }];
  }

  #verdictOf(finding: Finding, nowMs: number): Verdict | undefined {
    const { level, code, text, advice, patienceMs = 0 } = finding;
    const sinceMs = Math.min(
      finding.sinceMs ?? nowMs,
      this.#sinceMs.get(code) ?? nowMs,
    );
    this.#sinceMs.set(code, sinceMs);
    const forMs = nowMs - sinceMs;
    if (forMs < patienceMs) return undefined;
    return { level, code, text: text(duration(Math.max(forMs, SHORTEST_MS))), sinceMs, advice };
  }
}
