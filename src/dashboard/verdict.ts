/**
 * Says in one plain sentence how it stands: all is well, or what is wrong, since when, and what to
 * do. It goes by whether writes reach the store, and not by errors alone: who counts only those
 * sees nothing wrong with an instance that has stopped sending.
 */
import type { InstanceSummary, Verdict } from "./snapshot.ts";
import { bytes, count, counted, duration } from "./wording.ts";

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
    /** It answers again, and the next flush has not begun yet. */
    readonly isBack: boolean;
    /** No flush has come through since one failed. */
    readonly flushesFail: boolean;
    readonly refuses: boolean;
    /** It answered a question just now. */
    readonly answers: boolean;
  };
  readonly isPaused: boolean;
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

interface Finding {
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

/** Beyond a flush's interval the oldest write may wait for so long before anything is said. */
export const PATIENCE_MS = 10_000;
/** A leader that died is followed by another one before this. */
const LEADERLESS_MS = 30_000;
/** Within this a full journal is near enough to be spoken of … */
const FILLING_SECONDS = 3_600;
/** … and here it is urgent. */
const FILLING_SOON_SECONDS = 600;

/** They are tried in the order of their gravity. */
const RULES: readonly ((facts: Facts) => Finding | undefined)[] = [
  journalFailed,
  journalFull,
  notServing,
  storeAway,
  storeRefuses,
  flushesFail,
  back,
  stalled,
  filling,
  growing,
  redisAway,
  brokerAway,
  deadLetters,
  audited,
  paused,
  leaderless,
  otherInstance,
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
    return { level, code, text: text(duration(forMs)), sinceMs, advice };
  }
}

function journalFailed({ journal }: Facts): Finding | undefined {
  if (!journal.hasFailed) return undefined;
  return {
    level: "problem",
    code: "journal-failed",
    text: (time) => `The journal cannot be written, and no write has been accepted for ${time}.`,
    advice:
      "Look at the disk under DATA_DIR and at the log (/readyz has the reason), then restart " +
      "this instance: what was acknowledged is recovered.",
  };
}

function journalFull({ journal, store }: Facts): Finding | undefined {
  if (!journal.refusesWrites) return undefined;
  return {
    level: "problem",
    code: "journal-full",
    text: (time) =>
      `There is no room for more in the journal: writes have been refused for ${time}.`,
    advice: store.isAway
      ? `Bring ${store.name} back: the journal empties by itself then.`
      : `Give it room: a larger disk or JOURNAL_MAX_BYTES (${bytes(journal.maxBytes)} now), or a ` +
        `faster way into ${store.name}.`,
  };
}

function notServing({ phase }: Facts): Finding | undefined {
  if (phase === "serving") return undefined;
  return {
    level: "warning",
    code: phase,
    text: phase === "draining"
      ? (time) => `This instance has been shutting down for ${time}.`
      : () => "This instance reads its journal, and accepts writes in a moment.",
    advice: phase === "draining"
      ? "Nothing has to be done: what is left stays in the journal for the next start."
      : "Nothing has to be done.",
  };
}

function storeAway(facts: Facts): Finding | undefined {
  const { store } = facts;
  if (!store.isAway && !(store.flushesFail && !store.answers)) return undefined;
  const { secondsUntilFull: seconds } = facts.journal;
  const full = seconds === null
    ? ""
    : ` At this rate the journal is full in ${duration(seconds * 1000)}.`;
  return {
    level: "problem",
    code: "store-away",
    text: (time) => `${store.name} has not answered for ${time}; ${whatWaits(facts)}.`,
    advice: `Bring ${store.name} back: what waits is stored by itself then.${full}`,
  };
}

function storeRefuses(facts: Facts): Finding | undefined {
  const { store } = facts;
  if (!store.refuses || store.isAway) return undefined;
  return {
    level: "problem",
    code: "store-refuses",
    text: (time) =>
      `${store.name} answers, and has refused every write for ${time}; ${whatWaits(facts)}.`,
    advice: "A person has to change something there: /readyz?verbose and the log have its reason.",
  };
}

function flushesFail(facts: Facts): Finding | undefined {
  const { store } = facts;
  if (store.isAway || store.refuses || !store.flushesFail || !store.answers) return undefined;
  return {
    level: "problem",
    code: "flushes-fail",
    text: (time) =>
      `${store.name} answers, but every flush has failed for ${time}; ${whatWaits(facts)}.`,
    advice: `The log has the reason: look at the disk, the locks and the limits of ${store.name}.`,
  };
}

function back(facts: Facts): Finding | undefined {
  const { store } = facts;
  if (!store.isBack || store.isAway) return undefined;
  return {
    level: "warning",
    code: "catching-up",
    text: () => `${store.name} answers again; ${whatWaits(facts)}, until the next flush.`,
    advice: "Nothing has to be done.",
  };
}

/** One reason is enough for what waits. */
function isExplained({ store, isPaused, phase, broker }: Facts): boolean {
  return store.isAway || store.isBack || store.refuses || store.flushesFail || isPaused ||
    phase !== "serving" ||
    broker?.isAway === true;
}

function stalled(facts: Facts): Finding | undefined {
  const { queue, store, role, nowMs } = facts;
  if (isExplained(facts) || queue.depth === 0) return undefined;
  if (queue.stalledMs < facts.batchIntervalMs + PATIENCE_MS) return undefined;
  const though = store.answers ? ", though it answers" : "";
  return {
    level: "problem",
    code: "delivery-stalled",
    text: (time) => `Nothing has reached ${store.name} for ${time}${though}; ${whatWaits(facts)}.`,
    advice: role === "api"
      ? "Look whether workers run (ROLE=worker), and what their pages say."
      : `Look for locks and slow statements in ${store.name}, and for its reasons in the log.`,
    sinceMs: nowMs - queue.stalledMs,
  };
}

function filling(facts: Facts): Finding | undefined {
  const { journal: { secondsUntilFull: seconds }, store } = facts;
  if (isExplained(facts) || seconds === null || seconds > FILLING_SECONDS) return undefined;
  return {
    level: seconds <= FILLING_SOON_SECONDS ? "problem" : "warning",
    code: "journal-filling",
    text: () =>
      `At this rate the journal is full in ${duration(seconds * 1000)}, and writes are ` +
      `refused then; ${whatWaits(facts)}.`,
    advice: `More comes in than ${store.name} takes: make it faster, send less, or raise ` +
      "JOURNAL_MAX_BYTES.",
  };
}

function growing(facts: Facts): Finding | undefined {
  const { queue: { depth, oldestAgeMs, isGrowing }, store, batchIntervalMs } = facts;
  if (isExplained(facts) || depth === 0 || oldestAgeMs < batchIntervalMs + PATIENCE_MS) {
    return undefined;
  }
  return {
    level: "warning",
    code: isGrowing ? "queue-growing" : "catching-up",
    text: () =>
      isGrowing
        ? `Writes come in faster than ${store.name} takes them: the oldest of ${count(depth)} ` +
          `has waited for ${duration(oldestAgeMs)}, and longer each second.`
        : `${store.name} is catching up: the oldest of ${count(depth)} writes has waited for ` +
          `${duration(oldestAgeMs)}.`,
    advice: isGrowing
      ? `Look at the load of ${store.name}, its locks and indexes; FLUSH_SLOTS may be too few.`
      : "Nothing has to be done.",
    sinceMs: facts.nowMs - oldestAgeMs,
  };
}

function redisAway({ redis, store }: Facts): Finding | undefined {
  if (redis === undefined) return undefined;
  const slower = `reads are answered by this instance and ${store.name}, more slowly.`;
  return {
    level: "warning",
    code: redis === "refuses" ? "redis-refuses" : "redis-away",
    text: (time) =>
      redis === "refuses"
        ? `Redis answers, and has refused what it is asked for ${time}: ${slower}`
        : `Redis has not answered for ${time}: ${slower}`,
    advice: redis === "refuses"
      ? "It is full, or takes no writes: the log has its reason. No write is in danger."
      : "Bring Redis back. No write is in danger.",
  };
}

function brokerAway(facts: Facts): Finding | undefined {
  const { broker, store, role } = facts;
  if (broker === undefined || !broker.isAway) return undefined;
  // A worker that the store keeps waiting takes nothing from the broker either.
  if (role === "worker" && (store.isAway || store.flushesFail || store.refuses)) return undefined;
  return {
    level: "problem",
    code: "broker-away",
    text: (time) => `${broker.name} has taken and given nothing for ${time}; ${whatWaits(facts)}.`,
    advice: `Bring ${broker.name} back: what waits goes on by itself then.`,
  };
}

function deadLetters({ deadLetters: many, store }: Facts): Finding | undefined {
  if (many === null || many === 0) return undefined;
  return {
    level: "warning",
    code: "dead-letters",
    text: () =>
      `${counted(many, "write")} that ${store.name} refused ${
        many === 1 ? "waits" : "wait"
      } for a decision.`,
    advice: "See why (dsproxy dead-letters list), then replay or discard.",
  };
}

function audited({ audit: { lost, doubled } }: Facts): Finding | undefined {
  if (lost + doubled === 0) return undefined;
  return {
    level: "problem",
    code: "audit",
    text: () => `The audit found ${counted(lost, "write")} lost and ${count(doubled)} doubled.`,
    advice: "dsproxy audit names them.",
  };
}

function paused(facts: Facts): Finding | undefined {
  if (!facts.isPaused) return undefined;
  return {
    level: "warning",
    code: "paused",
    text: (time) => `Somebody paused delivery ${time} ago; ${whatWaits(facts)}.`,
    advice: "Resume it when what it was paused for is done (POST /admin/resume).",
  };
}

function leaderless({ hasLeader, phase }: Facts): Finding | undefined {
  if (hasLeader !== false || phase !== "serving") return undefined;
  return {
    level: "warning",
    code: "no-leader",
    text: (time) => `Nobody has led for ${time}: what only a leader does rests, writes go on.`,
    advice: "/readyz?verbose has the reason; as a rule Redis or the database cannot be reached.",
    patienceMs: LEADERLESS_MS,
  };
}

function otherInstance({ others }: Facts): Finding | undefined {
  const bad = others.filter(({ level }) => level === "problem");
  const [first] = bad;
  if (first === undefined) return undefined;
  const more = bad.length > 1 ? ` (and ${count(bad.length - 1)} more)` : "";
  return {
    level: "warning",
    code: "other-instance",
    text: () => `Instance ${first.name}${more}: ${first.text}`,
    advice: "Open the page of that instance.",
  };
}

function whatWaits({ queue: { depth, oldestAgeMs }, role }: Facts): string {
  if (depth === 0) return "nothing waits";
  const where = role === "worker" ? "at the broker" : "in the journal";
  const verb = Math.round(depth) === 1 ? "waits" : "wait";
  return `${counted(depth, "write")} ${verb} safely ${where}, the oldest for ${
    duration(oldestAgeMs)
  }`;
}
