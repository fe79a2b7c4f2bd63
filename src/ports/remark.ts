/** What `dsproxy doctor` hears of a part: what is there, how good that is, and what to do. */

/** With a `problem` something does not work, or will be lost; a `risk` waits for a bad day. */
export type Grade = "ok" | "note" | "risk" | "problem";

export interface Remark {
  /** One word or two, which stay: programs find the remark by it. */
  readonly topic: string;
  readonly grade: Grade;
  /** It says what was found, with the value. */
  readonly found: string;
  /** It says in one sentence what to do, unless the grade is `ok` or `found` says that, too. */
  readonly advice?: string;
}

/** Latest writes win by seconds, so that clocks may differ by less. */
const CLOCKS_APART_MS = 1_000;

/** Judges the clock of another machine that was asked between two looks at this one's. */
export function clockRemark(
  theirMs: number,
  { beforeMs, afterMs }: { readonly beforeMs: number; readonly afterMs: number },
): Remark {
  const ahead = Math.round(theirMs - (beforeMs + afterMs) / 2);
  const sign = ahead < 0 ? "behind" : "ahead of";
  const found = `its clock is ${Math.abs(ahead)} ms ${sign} this machine's`;
  // While it was asked the time went on: nobody knows more exactly than that.
  if (Math.abs(ahead) - (afterMs - beforeMs) / 2 < CLOCKS_APART_MS) {
    return { topic: "clock", grade: "ok", found };
  }
  return {
    topic: "clock",
    grade: "risk",
    found,
    advice: "Newest ts wins, and who sends none gets this machine's time: keep both by NTP.",
  };
}
