/**
 * Brings what was read out of a left journal to the store, by the way that its owner would take: a
 * run that a broker may have goes by groups, all others are put there. Whatever is written is
 * written within a term. Caches are told as after a flush.
 */
import { withoutValues } from "../database_words.ts";
import { StoreSink } from "../delivery/store_sink.ts";
import type { Entry } from "../domain.ts";
import type { Interval } from "../ports/group_store.ts";
import type { Delivered } from "../ports/sink.ts";
import type { Store, WithinTerm } from "../ports/store.ts";
import type { LeftJournal } from "../journal/left_journal.ts";
import type { CacheClient } from "../reading/cache_client.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { toldFlush, type Tracing } from "../telemetry/tracing.ts";
import type { GroupBatch } from "./group_batches.ts";
import { LeftAloneError } from "./left_directory.ts";

export interface BringingParts {
  readonly store: Pick<Store, "marks">;
  readonly within: WithinTerm;
  readonly cache: Pick<CacheClient, "update" | "forget">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing?: Pick<Tracing, "flush">;
  /** It is true of a run that a broker may have. */
  readonly isForwarded: (source: string) => boolean;
  /** It is told how many rows were inserted. */
  readonly onRows: (rows: number) => void;
}

export class Bringing {
  readonly #sink: StoreSink;
  #marks: ReadonlyMap<string, number> = new Map();
  /** These numbers of each source never come, and the mark is not known to be behind them. */
  readonly #never = new Map<string, Interval[]>();

  /** @param maxRows of one transaction */
  constructor(maxRows: number, private readonly parts: BringingParts) {
    const { store, within, onRows, tracing } = parts;
    this.#sink = new StoreSink(maxRows, {
      ...parts,
      store: {
        marks: (sources) => store.marks(sources),
        open: (source) => within.open(source),
        put: async (source, entries, ...others) => {
          const put = () => within.put(source, entries, ...others);
          const result = await toldFlush(tracing, entries, put);
          onRows(result.rows);
          return result;
        },
      },
    });
  }

  /**
   * Asks how far the store is. It has to be called first.
   * @throws LeftAloneError where the store lacks what it had confirmed to the owner: behind that gap
   *   nothing may be put, as nobody would find it afterwards
   */
  async begin(journal: LeftJournal): Promise<ReadonlyMap<string, number>> {
    this.#marks = await this.#sink.marks(journal.sources);
    for (const source of journal.sources) {
      const [mark, settledSeq] = [this.#markOf(source), journal.settledSeq(source)];
      if (mark >= settledSeq) continue;
      throw new LeftAloneError(
        `The database went back: it has run ${source} through ${mark}, and had confirmed ` +
          `${settledSeq}. Only its instance can send that again: start it`,
      );
    }
    return this.#marks;
  }

  /**
   * Resolves when the store has the batch, and caches nothing older.
   * @returns the mark of its source is there at least
   */
  async bring({ source, groups }: GroupBatch, journal: LeftJournal): Promise<number> {
    const entries = groups.flatMap((group) => journal.waiting(source, group.entries));
    const isForwarded = this.parts.isForwarded(source);
    const mark = isForwarded ? await this.#apply({ source, groups }) : this.#markOf(source);
    if (entries.length === 0) return mark;
    const lastSeq = entries.at(-1)!.seq;
    // Of what comes by groups nobody here knows which of it was refused, and discarded since.
    const { stored }: Pick<Delivered, "stored"> = isForwarded
      ? { stored: [] }
      : await this.#sink.deliver({ source, entries, lastSeq });
    await this.#tellCaches(entries, stored);
    return Math.max(mark, lastSeq);
  }

  async #apply({ source, groups }: GroupBatch): Promise<number> {
    const { within, metrics, log, onRows, tracing } = this.parts;
    const never = this.#neverOf(source);
    for (const { first, last, entries } of groups) {
      if (entries.length === 0 && first <= last) never.push({ first, last });
    }
    const lacking = groups.filter(({ last, entries }) =>
      entries.length > 0 && last > this.#markOf(source)
    );
    if (lacking.length > 0) {
      const entries = lacking.flatMap((group) => group.entries);
      const { rows, dead } = await toldFlush(tracing, entries, () => within.apply(lacking));
      metrics.flushRows.inc({ outcome: "ok" }, rows);
      onRows(rows);
      if (dead.length > 0) {
        const { seq, code, message } = dead[0]!;
        log.error("The store refuses rows of a journal that is adopted: they are dead letters", {
          ...{ source, seq, code },
          reason: withoutValues(code, message),
          rows: dead.length,
          event: "rows-refused",
        });
      }
    }
    const { mark } = await within.fold(source, never);
    const last = groups.at(-1)!.last;
    if (mark < last) {
      throw new Error(`The store has run ${source} through ${mark}, and was brought ${last}`);
    }
    this.#never.set(source, never.filter((gone) => gone.last > mark));
    return mark;
  }

  /** As a flush does: those who are left out of `stored` come first. */
  async #tellCaches(entries: readonly Entry[], stored: readonly Entry[]): Promise<void> {
    const { cache } = this.parts;
    if (stored.length < entries.length) {
      const known = new Set(stored.map(({ seq }) => seq));
      await cache.forget(entries.filter(({ seq }) => !known.has(seq)));
    }
    await cache.update(stored);
  }

  #markOf(source: string): number {
    return this.#marks.get(source) ?? 0;
  }

  #neverOf(source: string): Interval[] {
    return this.#never.get(source) ?? [];
  }
}
