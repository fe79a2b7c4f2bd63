/** Says what keeps writes from being accepted, or from reaching the store. */
import { type Facts, type Finding, PATIENCE_MS, whatWaits } from "./facts.ts";
import { bytes, count, duration } from "./wording.ts";

/** Within this a full journal is near enough to be spoken of … */
const FILLING_SECONDS = 3_600;
/** … and here it is urgent. */
export const FILLING_SOON_SECONDS = 600;

export function journalFailed({ journal }: Facts): Finding | undefined {
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

export function journalFull({ journal, store, isPaused }: Facts): Finding | undefined {
  if (!journal.refusesWrites) return undefined;
  return {
    level: "problem",
    code: "journal-full",
    text: (time) =>
      `There is no room for more in the journal: writes have been refused for ${time}.`,
    advice: isPaused
      ? "Resume it (POST /admin/resume): nothing leaves the journal while it is paused."
      : store.isAway
      ? `Bring ${store.name} back: the journal empties by itself then.`
      : `Give it room: a larger disk or JOURNAL_MAX_BYTES (${bytes(journal.maxBytes)} now), or a ` +
        `faster way into ${store.name}.`,
  };
}

export function notServing({ phase }: Facts): Finding | undefined {
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

/** Of who is paused or drained the last flush says nothing: none is tried. */
function hasFailing({ store, isPaused }: Facts): boolean {
  return store.flushesFail && !isPaused;
}

export function forecast({ journal: { secondsUntilFull: seconds } }: Facts): string {
  return seconds === null
    ? ""
    : ` At this rate the journal is full in ${duration(seconds * 1000)}.`;
}

export function storeAway(facts: Facts): Finding | undefined {
  const { store } = facts;
  if (!store.isAway && !(hasFailing(facts) && !store.answers)) return undefined;
  return {
    level: "problem",
    code: "store-away",
    text: (time) => `${store.name} has not answered for ${time}; ${whatWaits(facts)}.`,
    advice: `Bring ${store.name} back: what waits is stored by itself then.${forecast(facts)}`,
    sinceMs: facts.nowMs - store.silentMs,
  };
}

export function storeRefuses(facts: Facts): Finding | undefined {
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

export function flushesFail(facts: Facts): Finding | undefined {
  const { store } = facts;
  if (store.isAway || store.refuses || !hasFailing(facts) || !store.answers) return undefined;
  return {
    level: "problem",
    code: "flushes-fail",
    text: (time) =>
      `${store.name} answers, but every flush has failed for ${time}; ${whatWaits(facts)}.`,
    advice: `The log has the reason: look at the disk, the locks and the limits of ${store.name}.`,
  };
}

export function back(facts: Facts): Finding | undefined {
  const { store, isPaused } = facts;
  if (!store.isBack || store.isAway || isPaused) return undefined;
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

export function stalled(facts: Facts): Finding | undefined {
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

export function filling(facts: Facts): Finding | undefined {
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

export function growing(facts: Facts): Finding | undefined {
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
