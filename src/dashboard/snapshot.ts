/**
 * What an instance says of itself once a second: the dashboard, `dsproxy top` and other instances'
 * pages read this, by `GET /events`. Rates and percentiles are of the last few seconds; null stands
 * where nothing was observed, or where nobody can tell at the moment.
 */
export interface Snapshot {
  readonly atMs: number;
  readonly instance: InstanceFacts;
  readonly verdict: Verdict;
  /** All that was found, the verdict first; or that all is well. */
  readonly findings: readonly Verdict[];
  readonly requests: readonly RouteRates[];
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
  /** Reads a second by the tier that answered; `none` is of those that found nothing. */
  readonly readsBySource: Readonly<Record<string, number>>;
  readonly queue: {
    readonly depth: number;
    readonly oldestAgeSeconds: number;
    /** The journal is full then if it goes on as in the last minute; null: it does not grow. */
    readonly secondsUntilFull: number | null;
  };
  readonly journal: {
    readonly bytes: number;
    readonly maxBytes: number;
    readonly retainedBytes: number;
    readonly fsync: Percentiles;
  };
  readonly flush: {
    readonly rowsPerSecond: number;
    readonly failedRowsPerSecond: number;
    readonly duration: Percentiles;
    readonly meanRows: number | null;
  };
  readonly breakers: Readonly<Record<string, "closed" | "half-open" | "open">>;
  /** It is null without a broker. */
  readonly broker: {
    readonly kind: string;
    readonly confirmedPerSecond: number;
    readonly failedPerSecond: number;
    readonly appliedPerSecond: number;
  } | null;
  readonly leader: {
    readonly leads: boolean;
    readonly name: string | null;
    readonly sinceMs: number | null;
  };
  readonly deadLetters: {
    readonly count: number | null;
    /** The most frequent ones first, and not all where there are very many. */
    readonly reasons: readonly { readonly code: string; readonly count: number }[];
  };
  /** It is null where the store cannot be audited, or was not yet. */
  readonly audit: {
    readonly checked: number;
    readonly lost: number;
    readonly doubled: number;
    readonly atMs: number | null;
  } | null;
  /** This one, and with Redis all others that were heard of in the last seconds. */
  readonly instances: readonly InstanceSummary[];
}

export interface Percentiles {
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export interface RouteRates extends Percentiles {
  readonly route: string;
  readonly perSecond: number;
  /** Of these, answered with a status of 500 or more. */
  readonly failedPerSecond: number;
}

export interface InstanceFacts {
  readonly name: string;
  readonly role: "all" | "api" | "worker";
  readonly version: string;
  readonly startedMs: number;
  readonly phase: string;
  readonly store: string;
  readonly cache: string;
  readonly queue: string;
  /** Somebody had it stop bringing writes to the store (`POST /admin/pause`). */
  readonly isPaused: boolean;
  /** Somebody had it accept no more writes (`POST /admin/drain`). */
  readonly isDrained: boolean;
}

export interface InstanceSummary {
  readonly name: string;
  readonly role: "all" | "api" | "worker";
  readonly leads: boolean;
  readonly atMs: number;
  readonly level: Verdict["level"];
  readonly text: string;
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
  readonly queueDepth: number;
  readonly oldestAgeSeconds: number;
}

/** One plain sentence at the top: all is well, or what is wrong, since when, and what to do. */
export interface Verdict {
  readonly level: "well" | "warning" | "problem";
  /** Stable, for programs: `well`, `store-away`, `queue-growing`, `journal-full`, … */
  readonly code: string;
  readonly text: string;
  readonly sinceMs: number | null;
  readonly advice: string | null;
}

/**
 * The last hour for the charts, in columns of equal length: index i of each is of the moment
 * `atMs[i]`, oldest first. The first event of a stream has it (`event: history`); then each second
 * comes `event: snapshot`.
 */
export interface History {
  readonly atMs: readonly number[];
  readonly writesPerSecond: readonly number[];
  readonly readsPerSecond: readonly number[];
  readonly writeP50Ms: readonly (number | null)[];
  readonly writeP99Ms: readonly (number | null)[];
  readonly readP50Ms: readonly (number | null)[];
  readonly readP99Ms: readonly (number | null)[];
  readonly queueDepth: readonly number[];
  readonly oldestAgeSeconds: readonly number[];
  readonly journalBytes: readonly number[];
  readonly fsyncP99Ms: readonly (number | null)[];
  readonly flushRowsPerSecond: readonly number[];
  readonly flushP99Ms: readonly (number | null)[];
  readonly hitRatio: readonly (number | null)[];
  readonly level: readonly Verdict["level"][];
}
