/**
 * Watches for groups that the broker lost. The store says so where it has later groups of a source
 * and not the ones before; where it has none, only time does.
 */
import type { Clock } from "../ports/clock.ts";
import type { GroupStore } from "../ports/group_store.ts";
import type { Log } from "../telemetry/log.ts";

interface StragglersParts {
  readonly groups: Pick<GroupStore, "fold">;
  /** It returns the source whose entries wait longest for the store; undefined when none do. */
  readonly oldestSource: () => string | undefined;
  readonly clock: Pick<Clock, "monotonicMs" | "setInterval">;
  readonly log: Log;
  /** It lets everything be sent again that the store does not have. */
  readonly sendAgain: () => void;
}

const LOOK_MS = 2_000;
/** What is missing while later groups are there may be on its way to a slower worker for so long. */
const MISSING_MS = 15_000;
/**
 * Where nothing of a source arrives, workers may be away, and the broker keeps everything: each time
 * it is sent again the broker has it once more, so that the waits double, from this one …
 */
const STANDSTILL_MS = 10 * 60_000;
/** … to that one. */
const STANDSTILL_MAX_MS = 6 * 60 * 60_000;

export class Stragglers {
  #source: string | undefined;
  #mark = -1;
  /** The mark was moved, or everything sent again, then. */
  #movedMs = 0;
  #missingSinceMs: number | undefined;
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

  async #look(): Promise<void> {
    const source = this.parts.oldestSource();
    if (source === undefined || this.#looking) return;
    this.#looking = true;
    try {
      // A worker that died before it folded leaves that to whoever waits.
      this.#judge(source, await this.parts.groups.fold(source));
    } catch {
      // The store is away, or refuses: whoever settles says so.
    } finally {
      this.#looking = false;
    }
  }

  #judge(source: string, { mark, ahead }: { readonly mark: number; readonly ahead: boolean }) {
    const nowMs = this.parts.clock.monotonicMs();
    if (source !== this.#source || mark !== this.#mark) {
      this.#source = source;
      this.#mark = mark;
      this.#movedMs = nowMs;
      this.#missingSinceMs = undefined;
      this.#standstillMs = STANDSTILL_MS;
    }
    if (!ahead) this.#missingSinceMs = undefined;
    else this.#missingSinceMs ??= nowMs;
    if (nowMs - (this.#missingSinceMs ?? nowMs) >= MISSING_MS) this.#sendAgain(source, mark, nowMs);
    else if (nowMs - this.#movedMs >= this.#standstillMs) {
      this.#standstillMs = Math.min(2 * this.#standstillMs, STANDSTILL_MAX_MS);
      this.#sendAgain(source, mark, nowMs);
    }
  }

  #sendAgain(source: string, mark: number, nowMs: number): void {
    this.#movedMs = nowMs;
    this.#missingSinceMs = undefined;
    this.parts.log.warn("Writes that the broker had do not reach the store: they are sent again", {
      source,
      afterSeq: mark,
    });
    this.parts.sendAgain();
  }
}
