/** Is what the verdict is made of: what is known at a moment, and what may be found in it. */
import type { InstanceSummary, Verdict } from "./snapshot.ts";
import { counted, duration } from "./wording.ts";

/** What is known at a moment; everything that is judged is here. */
export interface Facts {
  readonly nowMs: number;
  readonly role: "all" | "api" | "worker";
  readonly phase: "starting" | "recovering" | "serving" | "draining";
  /** A flush begins at least this often. */
  readonly batchIntervalMs: number;
  readonly journal: {
    readonly hasFailed: boolean;
    readonly refusesWrites: boolean;
    readonly maxBytes: number;
    readonly secondsUntilFull: number | null;
  };
  readonly queue: {
    readonly depth: number;
    readonly oldestAgeMs: number;
    readonly isGrowing: boolean;
    /** The oldest entry has been the same one for so long. */
    readonly stalledMs: number;
  };
  readonly store: {
    readonly name: string;
    readonly isAway: boolean;
    /** It was heard of last so long ago; 0 where nobody had asked it anything lately. */
    readonly silentMs: number;
    /** It answers again, and the next flush has not begun yet. */
    readonly isBack: boolean;
    /** No flush has come through since one failed. */
    readonly flushesFail: boolean;
    readonly refuses: boolean;
    /** It answered a question just now. */
    readonly answers: boolean;
  };
  readonly isPaused: boolean;
  readonly isDrained: boolean;
  /** Undefined while nothing is wrong with it, or where there is none. */
  readonly redis: "is away" | "refuses" | undefined;
  /** Undefined where there is no broker. */
  readonly broker: { readonly name: string; readonly isAway: boolean } | undefined;
  readonly deadLetters: number | null;
  readonly audit: { readonly lost: number; readonly doubled: number };
  /** Undefined where another one is responsible for it, as at a worker. */
  readonly hasLeader: boolean | undefined;
  readonly others: readonly InstanceSummary[];
}

export interface Finding {
  readonly level: Verdict["level"];
  readonly code: string;
  /** @param time for how long it has been so */
  readonly text: (time: string) => string;
  readonly advice: string;
  /** It is known to have begun then; else it began when it was found first. */
  readonly sinceMs?: number;
  /** It is said only when it has lasted for so long. */
  readonly patienceMs?: number;
}

/** Looks for one thing that may be wrong. */
export type Rule = (facts: Facts) => Finding | undefined;

/** Beyond a flush's interval the oldest write may wait for so long before anything is said. */
export const PATIENCE_MS = 10_000;

export function whatWaits({ queue: { depth, oldestAgeMs }, role }: Facts): string {
  if (depth === 0) return "nothing waits";
  const where = role === "worker" ? "at the broker" : "in the journal";
  const verb = Math.round(depth) === 1 ? "waits" : "wait";
  return `${counted(depth, "write")} ${verb} safely ${where}, the oldest for ${
    duration(oldestAgeMs)
  }`;
}
