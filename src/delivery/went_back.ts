/** Says what the store lacks that it had confirmed, and what is sent again. */
import type { Rewound } from "../ports/source.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

interface WentBack {
  readonly source: string;
  /** The store had confirmed the source through this number … */
  readonly settledSeq: number;
  /** … and has it through this one only. */
  readonly mark: number;
  readonly rewound: Rewound;
}

export function reportWentBack(
  { metrics, log }: { readonly metrics: Metrics; readonly log: Log },
  { source, settledSeq, mark, rewound }: WentBack,
): void {
  metrics.storeWentBackWrites.inc(settledSeq - mark);
  const isGone = rewound.missingThrough !== undefined;
  log.error(
    "The database went back: writes that it had confirmed are no longer in it. An older backup " +
      "was restored, a replica that was behind took over, or it was made anew. " +
      (isGone
        ? "What the journal still has is sent again; the others are in the former database or " +
          "a newer backup, and nowhere else"
        : rewound.entries === settledSeq - mark
        ? "The journal still has all of them, and sends them again"
        : "The journal sends again what it has of them: the other numbers were withdrawn, or " +
          "belong to a former store"),
    {
      event: "store-went-back",
      source,
      firstLostSeq: mark + 1,
      lastLostSeq: settledSeq,
      writes: settledSeq - mark,
      sentAgain: rewound.entries,
      ...(isGone && { goneThroughSeq: rewound.missingThrough }),
    },
  );
}
