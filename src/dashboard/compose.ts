/** Puts together what is known: the facts that are judged, the snapshot, the note for others. */
import { allReads } from "./rates.ts";
import { type Facts, PATIENCE_MS } from "./facts.ts";
import type { Notes } from "./notes.ts";
import { type Observed, oldestAgeMs } from "./observed.ts";
import type { QueueReading } from "./readings.ts";
import type { InstanceFacts, InstanceSummary, Snapshot, Verdict } from "./snapshot.ts";
import type { StoreProbe } from "./store_probe.ts";

/** This stays as it was at the start. */
export interface Setup extends Pick<InstanceFacts, "role" | "version" | "startedMs"> {
  readonly store: "sqlite" | "postgres";
  readonly cache: "memory" | "redis";
  readonly queue: "journal" | "rabbitmq" | "kafka";
  readonly batchIntervalMs: number;
  readonly journalMaxBytes: number;
}

/** How it stands at a moment, as the parts of the service say. */
export interface Current {
  /** It names this start of this instance. */
  readonly name: string;
  readonly phase: Facts["phase"];
  readonly isPaused: boolean;
  readonly isDrained: boolean;
  readonly queue: QueueReading;
  readonly journalHasFailed: boolean;
  readonly journalRefuses: boolean;
  readonly storeRefuses: boolean;
  readonly brokerIsAway: boolean;
  /** By dependency: 0 closed, 1 half-open, 2 open. */
  readonly breakers: Readonly<
    Record<"store" | "store-reads" | "cache", { readonly state: 0 | 1 | 2 }>
  >;
  readonly leads: boolean;
  /** Who leads, as far as this instance knows. */
  readonly leader: { readonly name: string; readonly sinceMs: number } | undefined;
}

export interface Known {
  readonly setup: Setup;
  readonly current: Current;
  readonly observed: Observed;
  readonly probe: StoreProbe;
  readonly notes: Notes;
}

const STORE_NAMES = { sqlite: "The embedded database", postgres: "PostgreSQL" } as const;
const BROKER_NAMES = { rabbitmq: "RabbitMQ", kafka: "Kafka" } as const;
const BREAKER_STATES = ["closed", "half-open", "open"] as const;
/** A store that took a write so lately is there, however busy. */
const STORED_LATELY_MS = 2_000;
/** Who was heard of longer ago may have been there since, without being asked. */
const ASKED_LATELY_MS = 15_000;
/** One lost answer of the board is no outage. */
const BOARD_SILENCES = 2;

export function factsOf({ setup, current, observed, probe, notes }: Known, nowMs: number): Facts {
  const { role, batchIntervalMs, journalMaxBytes: maxBytes } = setup;
  const { queue, audited } = observed.last;
  const patienceMs = batchIntervalMs + PATIENCE_MS;
  const answers = probe.answers === true;
  const isBack = answers && observed.flushesFail && observed.failedMs < probe.answeringSinceMs;
  const unheardMs = observed.last.monotonicMs - probe.answeredMs;
  const silentMs = Math.max(0, Math.min(observed.sinceStoredMs, unheardMs));
  const isSilent = probe.answers === false && observed.sinceStoredMs > STORED_LATELY_MS;
  return {
    nowMs,
    role,
    phase: current.phase,
    batchIntervalMs,
    journal: {
      hasFailed: current.journalHasFailed,
      refusesWrites: current.journalRefuses,
      maxBytes,
      secondsUntilFull: untilFull(setup, observed, patienceMs),
    },
    queue: {
      depth: queue.depth,
      oldestAgeMs: oldestAgeMs(observed.last),
      isGrowing: observed.isGrowing,
      stalledMs: observed.stalledMs,
    },
    store: {
      name: STORE_NAMES[setup.store],
      isAway: isSilent || current.breakers.store.state !== 0,
      silentMs: silentMs < ASKED_LATELY_MS ? silentMs : 0,
      isBack,
      flushesFail: observed.flushesFail && !isBack,
      refuses: current.storeRefuses,
      answers,
    },
    isPaused: current.isPaused,
    isDrained: current.isDrained,
    redis: setup.cache === "redis" ? redisFault(current, notes) : undefined,
    broker: setup.queue === "journal"
      ? undefined
      : { name: BROKER_NAMES[setup.queue], isAway: current.brokerIsAway },
    deadLetters: probe.deadLetters.count,
    audit: audited,
    hasLeader: role === "worker" ? undefined : current.leads || current.leader !== undefined,
    others: notes.others,
  };
}

/** A breaker stays open until somebody reads; the board is asked each second. */
function redisFault({ breakers }: Current, { silences, isRefused }: Notes): Facts["redis"] {
  const isOpen = breakers.cache.state !== 0;
  if (silences >= BOARD_SILENCES || (isOpen && silences > 0)) return "is away";
  return isOpen && isRefused ? "refuses" : undefined;
}

function untilFull({ role, journalMaxBytes }: Setup, observed: Observed, patienceMs: number) {
  return role === "worker" ? null : observed.secondsUntilFull(journalMaxBytes, patienceMs);
}

/** It leaves out what is said of others, who leave notes themselves. */
export function summaryOf(
  { setup: { role }, current: { name, leads }, observed }: Known,
  verdicts: readonly Verdict[],
): InstanceSummary {
  const own = verdicts.find(({ code }) => code !== "other-instance");
  return {
    name,
    role,
    leads,
    atMs: Math.round(observed.last.atMs),
    level: own?.level ?? "well",
    text: own?.text ?? "All is well.",
    writesPerSecond: observed.perSecond(({ writes }) => writes),
    readsPerSecond: observed.perSecond(allReads),
    queueDepth: observed.last.queue.depth,
    oldestAgeSeconds: Math.round(oldestAgeMs(observed.last)) / 1000,
  };
}

export function snapshotOf(
  known: Known,
  verdicts: readonly Verdict[],
  own: InstanceSummary,
): Snapshot {
  const { setup, current, observed, probe, notes } = known;
  const { last } = observed;
  const { role, version, startedMs, store, cache, queue } = setup;
  const { name, phase, isPaused, isDrained, leads, leader } = current;
  return {
    atMs: Math.round(last.atMs),
    instance: { name, role, version, startedMs, phase, store, cache, queue, isPaused, isDrained },
    verdict: verdicts[0]!,
    findings: verdicts,
    ...observed.rates,
    queue: {
      depth: last.queue.depth,
      oldestAgeSeconds: own.oldestAgeSeconds,
      secondsUntilFull: untilFull(setup, observed, setup.batchIntervalMs + PATIENCE_MS),
    },
    journal: {
      bytes: last.queue.bytes,
      maxBytes: role === "worker" ? 0 : setup.journalMaxBytes,
      retainedBytes: last.queue.retainedBytes,
      fsync: observed.percentiles(({ fsyncDurations }) => fsyncDurations),
    },
    breakers: Object.fromEntries(
      Object.entries(current.breakers).map(([it, { state }]) => [it, BREAKER_STATES[state]]),
    ),
    broker: queue === "journal" ? null : {
      kind: queue,
      confirmedPerSecond: observed.perSecond(({ confirmedMessages }) => confirmedMessages),
      failedPerSecond: observed.perSecond(({ failedMessages }) => failedMessages),
      appliedPerSecond: observed.perSecond(({ appliedMessages }) => appliedMessages),
    },
    leader: { leads, name: leader?.name ?? null, sinceMs: leader?.sinceMs ?? null },
    deadLetters: probe.deadLetters,
    audit: auditOf(observed),
    instances: [own, ...notes.others].sort((a, b) => a.name < b.name ? -1 : 1),
  };
}

function auditOf({ last: { audited }, auditedAtMs }: Observed): Snapshot["audit"] {
  if (audited.checked === 0) return null;
  return { ...audited, atMs: auditedAtMs === null ? null : Math.round(auditedAtMs) };
}
