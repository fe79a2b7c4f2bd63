/** Says what people should know of besides: caches, brokers, dead letters, the audit, who leads. */
import { FILLING_SOON_SECONDS, forecast } from "./delivery_rules.ts";
import { type Facts, type Finding, whatWaits } from "./facts.ts";
import { count, counted } from "./wording.ts";

/** A leader that died is followed by another one before this. */
const LEADERLESS_MS = 30_000;

export function redisAway({ redis, store }: Facts): Finding | undefined {
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

export function brokerAway(facts: Facts): Finding | undefined {
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

export function deadLetters({ deadLetters: many, store }: Facts): Finding | undefined {
  if (many === null || many === 0) return undefined;
  return {
    level: "warning",
    code: "dead-letters",
    text: () =>
      `${counted(many, "write")} that ${store.name.replace(/^The /, "the ")} refused ${
        many === 1 ? "waits" : "wait"
      } for a decision.`,
    advice: "See why (dsproxy dead-letters list), then replay or discard.",
  };
}

export function audited({ audit: { lost, doubled } }: Facts): Finding | undefined {
  if (lost + doubled === 0) return undefined;
  return {
    level: "problem",
    code: "audit",
    text: () => `The audit found ${counted(lost, "write")} lost and ${count(doubled)} doubled.`,
    advice: "dsproxy audit names them.",
  };
}

export function paused(facts: Facts): Finding | undefined {
  if (!facts.isPaused) return undefined;
  const seconds = facts.journal.secondsUntilFull ?? Infinity;
  return {
    level: seconds <= FILLING_SOON_SECONDS ? "problem" : "warning",
    code: "paused",
    text: (time) => `Somebody paused delivery ${time} ago; ${whatWaits(facts)}.`,
    advice: "Resume it when what it was paused for is done (POST /admin/resume)." +
      forecast(facts),
  };
}

export function drained(facts: Facts): Finding | undefined {
  if (!facts.isDrained) return undefined;
  return {
    level: "problem",
    code: "drained",
    text: (time) =>
      `Somebody drained this instance: writes have been turned away for ${time}; ${
        whatWaits(facts)
      }.`,
    advice: "Stop it for what it was drained for, or resume it (POST /admin/resume).",
  };
}

export function leaderless({ hasLeader, phase }: Facts): Finding | undefined {
  if (hasLeader !== false || phase !== "serving") return undefined;
  return {
    level: "warning",
    code: "no-leader",
    text: (time) => `Nobody has led for ${time}: what only a leader does rests, writes go on.`,
    advice: "/readyz?verbose has the reason; as a rule Redis or the database cannot be reached.",
    patienceMs: LEADERLESS_MS,
  };
}

export function otherInstance({ others }: Facts): Finding | undefined {
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
