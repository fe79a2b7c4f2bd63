/** These are the things that the service is given, and what it tells. */
import type { BatcherOptions } from "./delivery/batcher.ts";
import type { ForwardingParts } from "./forwarding/forwarding_half.ts";
import type { IntakeHalf } from "./intake/intake_half.ts";
import type { PauseSwitch } from "./pause_switch.ts";
import type { Clock } from "./ports/clock.ts";
import type { Intake, IntakeListener } from "./ports/intake.ts";
import type { GroupSource } from "./ports/group_source.ts";
import type { Sink } from "./ports/sink.ts";
import type { Source } from "./ports/source.ts";
import type { Store } from "./ports/store.ts";
import type { CacheClient } from "./reading/cache_client.ts";
import type { CacheNamespace } from "./reading/cache_namespace.ts";
import type { CacheNote } from "./reading/cache_note.ts";
import type { LastKnown } from "./reading/last_known.ts";
import type { Reader } from "./reading/reader.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/tracing.ts";

/** Requests come from here: from the HTTP server, or from the clients of a simulation. */
export interface Front {
  /**
   * Listens; until {@link open} only health and metrics are answered. May be called again after
   * {@link close}. @returns the base URL. @throws when the address cannot be bound
   */
  listen(): Promise<string>;
  /** Requests are carried out by these from now on. */
  open(doors: Doors): Promise<void>;
  /** Accepts no more; resolves when the requests under way are answered. */
  close(): Promise<void>;
}

/** Requests are carried out by these. */
export interface Doors {
  readonly intake: IntakeHalf;
  readonly journal: Pick<Intake, "stageOf" | "status">;
  readonly reader: Reader;
}

/** The journal offers these. */
export interface JournalPorts extends Intake, Source {
  /**
   * Returns a reader of the wanted sources with a place of its own, which begins with what the store
   * may not have.
   */
  groups(isWanted: (source: string) => boolean): GroupSource;
  /** They are the sources of which something is here, the oldest first. */
  readonly sources: readonly string[];
  /** They are those of which the store may lack something. */
  readonly waitingSources: readonly string[];
}

/** Brings writes on: to the store, or to a broker. */
export interface Outward {
  /** Something is under way there. */
  readonly isBusy: boolean;
  /**
   * Begins at once with what waits by now.
   * @returns tells, whenever it is asked, whether the store has all of that
   */
  flushNow(): () => boolean;
}

/** An attendant runs beside the halves for as long as they do. */
export interface Attendant {
  start(): void;
  stop(): void | Promise<void>;
}

export interface ServiceParts {
  readonly front: Front;
  readonly openJournal: (listener: IntakeListener) => Promise<JournalPorts>;
  /** Called when the journal is open, as its lock guards the note, too. */
  readonly openCacheNote: () => Promise<CacheNote>;
  readonly store: Store;
  /** @param run the name of this start of this instance */
  readonly makeSink: (run: string) => Sink;
  /**
   * Called when the journal is open, before anything is delivered. It resolves to undefined where
   * all of the journal goes to the store directly.
   */
  readonly openForwarding?: (journal: JournalPorts) => Promise<ForwardingParts | undefined>;
  readonly cache: CacheClient;
  /** It is given with a cache that is shared, whose copies belong to a store and a generation. */
  readonly namespace?: CacheNamespace;
  readonly lastKnown: LastKnown;
  readonly batch: BatcherOptions;
  /**
   * Values of pending entries take at most so many bytes in memory; the others are read from the
   * journal.
   */
  readonly pendingBytes?: number;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly pausing: PauseSwitch;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing?: Tracing;
  readonly attendants?: readonly Attendant[];
  /** Called before anything is opened; throws where this must not be started at all. */
  readonly checkPlace?: () => Promise<void>;
  /** Called before anything is written; throws where another store is configured than is meant. */
  readonly admitStore?: () => Promise<void>;
  /** Called when the store answers, and refuses a look-up. */
  readonly onStoreRefuses?: () => void;
  readonly observe?: (event: ServiceEvent) => void;
}

export type Part = "journal" | "cache note" | "cache" | "store" | "attendants";

/** The events are listed in the order in which a clean start and a clean stop have them. */
export type ServiceEvent =
  | "listening"
  | "journal open"
  | "store admitted"
  | "intake started"
  | "delivery started"
  | "ready"
  | "start failed"
  | "not ready"
  | "requests finished"
  | "requests given up"
  | "drained"
  | "not drained"
  | "delivery stopped"
  | "flush given up"
  | "intake stopped"
  | `${Part} closed`
  | `${Part} not closed`
  | "stopped";

export type Phase = "starting" | "recovering" | "serving" | "draining";
