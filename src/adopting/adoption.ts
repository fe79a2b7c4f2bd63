/**
 * Is the leader's duty towards instances that are gone: what their journals have, on a volume that
 * is shared, and the store lacks, it brings there. It only reads, and holds no lock meanwhile: the
 * owner may come back at any moment, and sends the same again, which the store leaves out.
 */
import type { Duty } from "../cluster/duty.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { Neighbours } from "../disk/neighbours.ts";
import {
  AppError,
  reasonOf,
  StoreNotAskedError,
  StoreUnavailableError,
  TermOverError,
} from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { StorePorts } from "../ports/store.ts";
import type { Term } from "../ports/terms.ts";
import type { CacheClient } from "../reading/cache_client.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { AdoptionUnderWay, type Brought } from "./under_way.ts";
import { LeftAloneError, LeftDirectory } from "./left_directory.ts";

export interface AdoptionOptions {
  /** The directories in this one may be data directories of other instances. */
  readonly from: string;
  /** An instance is gone when nobody was seen at work on its journal for so long. */
  readonly afterMs: number;
  /** One transaction has at most so many rows. */
  readonly maxRows: number;
}

export interface AdoptionParts {
  readonly fs: JournalFileSystem;
  readonly neighbours: Neighbours;
  readonly store: Pick<StorePorts, "store" | "identity"> & Required<Pick<StorePorts, "within">>;
  readonly cache: Pick<CacheClient, "update" | "forget">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing?: Pick<Tracing, "flush">;
  /** It returns the instance that this is part of; undefined as long as nobody knows. */
  readonly instance: () => string | undefined;
}

/** What one look has learned of a directory, for the next one. */
interface Known {
  readonly directory: LeftDirectory;
  underWay: AdoptionUnderWay | undefined;
  brought: Brought | undefined;
  /** People were told this last. */
  told: string | undefined;
  /** It is not looked at before, by the monotonic clock. */
  notBeforeMs: number;
}

/** A step is over after so long, and one transaction. */
const STEP_MS = 5_000;
const INTERVAL_MAX_MS = 5_000;
/** What failed, or is to be left alone, is read from its beginning when it is looked at again. */
const FAILED_MS = 30_000;
/** More than any volume has; of each some hundred bytes are kept in memory. */
const DIRECTORIES_MAX = 1_000;

export class Adoption implements Duty {
  readonly name = "adoption";
  readonly intervalMs: number;
  /** In the order of their names. */
  #known = new Map<string, Known>();
  /** Each failure of the store halves it, each success doubles it. */
  #maxRows: number;

  constructor(private readonly options: AdoptionOptions, private readonly parts: AdoptionParts) {
    this.intervalMs = Math.min(INTERVAL_MAX_MS, options.afterMs / 4);
    this.#maxRows = options.maxRows;
  }

  async run(term: Term, signal: AbortSignal): Promise<void> {
    const own = this.parts.instance();
    if (own === undefined) return;
    const endMs = this.parts.clock.monotonicMs() + STEP_MS;
    const isOver = () => signal.aborted || this.parts.clock.monotonicMs() >= endMs;
    await this.#lookAround();
    for (const known of this.#known.values()) {
      if (isOver()) break;
      if (this.parts.clock.monotonicMs() < known.notBeforeMs) continue;
      await this.#look(known, own, term, isOver);
    }
    if (!signal.aborted) return;
    for (const known of this.#known.values()) await end(known);
  }

  async #lookAround(): Promise<void> {
    const { log } = this.parts;
    const paths = await this.#directories();
    if (paths.length > DIRECTORIES_MAX && this.#known.size === 0) {
      log.warn("There are more directories than are looked at", {
        event: "adoption-failed",
        adoptFrom: this.options.from,
        directories: paths.length,
        lookedAt: DIRECTORIES_MAX,
      });
    }
    const before = this.#known;
    this.#known = new Map(
      paths.slice(0, DIRECTORIES_MAX).map((path) => [path, before.get(path) ?? this.#new(path)]),
    );
    for (const [path, known] of before) if (!this.#known.has(path)) await end(known);
  }

  async #directories(): Promise<string[]> {
    const { from } = this.options;
    try {
      return await this.parts.neighbours.directories(from);
    } catch (cause) {
      const message = `Cannot list ADOPT_FROM=${from}: ${reasonOf(cause)}. Mount it there, make ` +
        "it readable, or unset ADOPT_FROM.";
      throw new Error(message, { cause });
    }
  }

  #new(path: string): Known {
    const directory = new LeftDirectory(path, this.parts);
    return { directory, underWay: undefined, brought: undefined, told: undefined, notBeforeMs: 0 };
  }

  async #look(known: Known, own: string, term: Term, isOver: () => boolean): Promise<void> {
    const { directory } = known;
    try {
      const owner = await directory.owner();
      // The lock of one's own journal must not be asked for: on some volumes that would give it up.
      if (owner === undefined || owner === own) return;
      if (!await directory.isLeftSince(this.options.afterMs)) return await this.#returned(known);
      await this.#adopt(known, owner, term, isOver);
    } catch (error) {
      await end(known);
      if (error instanceof TermOverError) throw error;
      await this.#failed(known, error);
    }
  }

  async #adopt(known: Known, owner: string, term: Term, isOver: () => boolean): Promise<void> {
    const { directory } = known;
    const goesOn = known.underWay?.isWithin(term) && await known.underWay.isCurrent();
    if (!goesOn) await end(known);
    const underWay = known.underWay ?? await this.#begin(known, owner, term);
    if (underWay === undefined) return;
    while (!isOver()) {
      if (await directory.isTaken()) return await this.#returned(known);
      if (await underWay.step(this.#maxRows)) {
        this.#maxRows = Math.min(this.options.maxRows, 2 * this.#maxRows);
        continue;
      }
      underWay.finish();
      known.told = undefined;
      return await end(known);
    }
  }

  /** Resolves to undefined where there is nothing to do, or its owner seems to be back. */
  async #begin(
    known: Known,
    instance: string,
    term: Term,
  ): Promise<AdoptionUnderWay | undefined | void> {
    const { store } = this.parts;
    const { directory } = known;
    const trace = await directory.trace();
    const brought = known.brought?.trace === trace ? known.brought : undefined;
    if (brought?.isAll && await this.#hasStill(brought.marks)) return;
    await directory.refuseOtherStore((await store.identity.identify()).id);
    const forwarded = await directory.forwarded();
    const journal = await directory.readJournal();
    const underWay = known.underWay = new AdoptionUnderWay(this.#maxRows, {
      ...this.parts,
      ...{ directory, instance, journal, trace, term, forwarded },
      brought: brought?.marks ?? new Map(),
    });
    // What was read while its owner was at work may not be what is there.
    if (await directory.isTaken() || await directory.trace() !== trace) return await end(known);
    await underWay.begin();
    return underWay;
  }

  async #hasStill(marks: ReadonlyMap<string, number>): Promise<boolean> {
    const present = await this.parts.store.store.marks([...marks.keys()]);
    return [...marks].every(([source, mark]) => (present.get(source) ?? 0) >= mark);
  }

  async #returned(known: Known): Promise<void> {
    known.underWay?.tellReturned();
    known.told = undefined;
    await end(known);
  }

  /** One directory that cannot be adopted keeps no other one from it, but a store that is away. */
  async #failed(known: Known, error: unknown): Promise<void> {
    const { metrics, log } = this.parts;
    const { path } = known.directory;
    // What its owner changes at its start may be half done: that is no failure.
    if (await known.directory.isTaken().catch(() => false)) return;
    const isLeftAlone = error instanceof LeftAloneError || error instanceof AppError;
    const reason = reasonOf(error);
    if (!isLeftAlone || known.told !== reason) metrics.adoptionFailures.inc();
    if (error instanceof StoreUnavailableError) {
      const wasAsked = !(error instanceof StoreNotAskedError);
      if (wasAsked) this.#maxRows = Math.max(1, Math.floor(this.#maxRows / 2));
      throw error;
    }
    known.notBeforeMs = this.parts.clock.monotonicMs() + FAILED_MS;
    if (known.told === reason) return;
    known.told = reason;
    const told = { dataDir: path, reason, event: "adoption-failed" } as const;
    if (isLeftAlone) log.warn("The journal of an instance that is gone is left alone", told);
    else log.error("A journal cannot be adopted; it is tried again", told);
  }
}

async function end(known: Known): Promise<void> {
  const { underWay } = known;
  if (underWay === undefined) return;
  known.underWay = undefined;
  known.brought = underWay.brought;
  await underWay.close();
}
