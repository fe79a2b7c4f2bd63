/**
 * Watches for what does not reach the store: groups that the broker lost, which are sent again,
 * numbers that never come, over which it lets the store's mark go, and what is left beside damage,
 * which goes once the broker shows that it has it no better. The store says that something is
 * missing where it has later groups of a source; where it has none, only time does.
 */
import { GroupsOverlapError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { ReadGroup } from "../ports/group_source.ts";
import type { EntryGroup, Folded, GroupStore, Interval } from "../ports/group_store.ts";
import type { Log } from "../telemetry/log.ts";

interface StragglersParts {
  readonly groups: Pick<GroupStore, "fold">;
  /** It returns the sources of which the store may lack something, the oldest first. */
  readonly waitingSources: () => readonly string[];
  readonly clock: Pick<Clock, "monotonicMs" | "setInterval">;
  readonly log: Log;
  /** It lets everything be sent again that the store does not have. */
  readonly sendAgain: () => void;
}

interface Doubtful {
  readonly last: number;
  readonly sinceMs: number;
  mayGo: boolean;
}

const LOOK_MS = 2_000;
/**
 * What is missing while later groups are there may be with a slower worker, or one that was killed
 * with it and is given up by the broker after some ten seconds.
 */
const MISSING_MS = 30_000;
/**
 * Where nothing of a source arrives, workers may be away, and the broker keeps everything: each time
 * it is sent again the broker has it once more, so that the waits double, from this one …
 */
const STANDSTILL_MS = 10 * 60_000;
/** … to that one. */
const STANDSTILL_MAX_MS = 6 * 60 * 60_000;

export class Stragglers {
  /** These numbers of each source never come. */
  readonly #never = new Map<string, Map<number, Interval>>();
  /** They are the doubtful groups of each source, by their first numbers. */
  readonly #doubtful = new Map<string, Map<number, Doubtful>>();
  #source: string | undefined;
  #mark = -1;
  /** The mark was moved, or everything sent again, then. */
  #movedMs = 0;
  #missingSinceMs: number | undefined;
  #missingMs = MISSING_MS;
  #standstillMs = STANDSTILL_MS;
  #looking = false;
  #stopLooking: (() => void) | undefined;

  constructor(private readonly parts: StragglersParts) {}

  start(): void {
    this.#stopLooking = this.parts.clock.setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    this.#stopLooking?.();
  }

  /** Is told of numbers that never come, as often as they are found in the journal. */
  never({ source, first, last }: EntryGroup): void {
    const known = this.#never.get(source) ?? new Map<number, Interval>();
    this.#never.set(source, known.set(last, { first, last }));
  }

  /**
   * Returns true of a doubtful group for as long as the broker may have it whole: until the store's
   * mark has stood still before one such group of its source.
   */
  holdsBack({ source, first, last }: ReadGroup): boolean {
    const known = this.#doubtful.get(source) ?? new Map<number, Doubtful>();
    const sinceMs = this.parts.clock.monotonicMs();
    const group = known.get(first) ?? { last, sinceMs, mayGo: false };
    this.#doubtful.set(source, known.set(first, group));
    return !group.mayGo;
  }

  async #look(): Promise<void> {
    const sources = this.parts.waitingSources();
    for (const ofSource of [this.#never, this.#doubtful]) {
      for (const known of ofSource.keys()) if (!sources.includes(known)) ofSource.delete(known);
    }
    const [source] = sources;
    if (source === undefined || this.#looking) return;
    this.#looking = true;
    try {
      // A worker that died before it folded leaves that to whoever waits, too.
      this.#judge(source, await this.parts.groups.fold(source, this.#neverOf(source)));
    } catch (error) {
      // Of a store that is away, or refuses, whoever settles tells. Nothing could arrive meanwhile,
      // whatever the broker has.
      this.#movedMs = this.parts.clock.monotonicMs();
      this.#missingSinceMs = undefined;
      if (error instanceof GroupsOverlapError) {
        this.parts.log.error("Groups of one source overlap in the store", {
          ...{ source, error },
          event: "groups-overlap",
        });
      }
    } finally {
      this.#looking = false;
    }
  }

  #neverOf(source: string): readonly Interval[] {
    return [...this.#never.get(source)?.values() ?? []].sort((a, b) => a.first - b.first);
  }

  #judge(source: string, { mark, ahead }: Folded): void {
    const nowMs = this.parts.clock.monotonicMs();
    const wentBack = source === this.#source && mark < this.#mark;
    if (source !== this.#source || mark !== this.#mark) {
      this.#source = source;
      this.#mark = mark;
      this.#movedMs = nowMs;
      this.#missingSinceMs = undefined;
      this.#missingMs = MISSING_MS;
      this.#standstillMs = STANDSTILL_MS;
      // After a store that went back the journal is read again, and names them again.
      for (const last of this.#never.get(source)?.keys() ?? []) {
        if (last <= mark) this.#never.get(source)!.delete(last);
      }
    }
    if (!ahead) this.#missingSinceMs = undefined;
    else this.#missingSinceMs ??= nowMs;
    if (wentBack) this.#sendAgain(source, mark, nowMs);
    else if (nowMs - this.#movedMs >= MISSING_MS && this.#holdsUp(source, mark)) {
      this.#letGo(source, mark, nowMs);
    } else if (nowMs - (this.#missingSinceMs ?? nowMs) >= this.#missingMs) {
      // What is sent again may have to wait for the same slow worker, or behind a long backlog.
      this.#missingMs = Math.min(2 * this.#missingMs, STANDSTILL_MAX_MS);
      this.#sendAgain(source, mark, nowMs);
    } else if (nowMs - this.#movedMs >= this.#standstillMs) {
      this.#standstillMs = Math.min(2 * this.#standstillMs, STANDSTILL_MAX_MS);
      this.#sendAgain(source, mark, nowMs);
    }
  }

  /** The mark cannot move on because of a group that is held back. */
  #holdsUp(source: string, mark: number): boolean {
    return [...this.#doubtful.get(source) ?? []].some(([first, { last, mayGo }]) =>
      !mayGo && first <= mark + 1 && mark < last
    );
  }

  #letGo(source: string, mark: number, nowMs: number): void {
    for (const known of this.#doubtful.values()) {
      // The others had the same time to come whole.
      for (const group of known.values()) group.mayGo ||= nowMs - group.sinceMs >= MISSING_MS;
    }
    this.#movedMs = nowMs;
    this.#missingSinceMs = undefined;
    this.parts.log.warn("Of damaged writes nothing better came from the broker: the rest is sent", {
      ...{ source, afterSeq: mark },
      event: "sent-again",
    });
    this.parts.sendAgain();
  }

  #sendAgain(source: string, mark: number, nowMs: number): void {
    this.#movedMs = nowMs;
    this.#missingSinceMs = undefined;
    this.parts.log.warn("Writes that the broker had do not reach the store: they are sent again", {
      ...{ source, afterSeq: mark },
      event: "sent-again",
    });
    this.parts.sendAgain();
  }
}
