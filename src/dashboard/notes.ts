/**
 * Leaves a note of this instance on the board that all share, and reads those of the others. Other
 * programs can write there, too: a note that is not one of ours is passed over.
 */
import { withDeadline } from "../deadline.ts";
import { StoreError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import { BoardRefusesError, type InstanceBoard, NOTE_LENGTH_MAX } from "../ports/instance_board.ts";
import type { InstanceSummary } from "./snapshot.ts";

/** An instance that was not heard of for so long is not shown any more. */
const NOTE_LIFE_MS = 5_000;
const ANSWER_LIMIT_MS = 1_000;
const LAST_CALL_MS = 250;
const TEXT_MAX = 500;
const LEVELS: readonly unknown[] = ["well", "warning", "problem"];
const ROLES: readonly unknown[] = ["all", "api", "worker"];

export class Notes {
  #others: readonly InstanceSummary[] = [];
  #heardMs = -Infinity;
  #exchanging: Promise<void> | undefined;
  #posted: string | undefined;
  /** How often in a row the board gave no answer. */
  #silences = 0;
  #isRefused = false;

  constructor(
    private readonly board: InstanceBoard,
    private readonly clock: Pick<Clock, "monotonicMs">,
    /** It is told when the board begins to refuse. */
    private readonly onRefused: (error: unknown) => void,
  ) {}

  /** Those of the others as they were read last; none where that is too long ago. */
  get others(): readonly InstanceSummary[] {
    return this.clock.monotonicMs() - this.#heardMs > NOTE_LIFE_MS ? [] : this.#others;
  }

  get silences(): number {
    return this.#silences;
  }

  /** The board answered last, and took nothing. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /**
   * Leaves a note, and reads the others' where somebody wants to see them. One exchange is under way
   * at a time. Never rejects.
   */
  exchange(own: InstanceSummary, isWatched: boolean): Promise<void> {
    return this.#exchanging ??= this.#exchange(own, isWatched)
      .finally(() => this.#exchanging = undefined);
  }

  /** Takes the own note down. What cannot be done soon is left to end by itself. */
  async close(): Promise<void> {
    const { board } = this;
    const work = this.#posted === undefined ? Promise.resolve() : board.withdraw(this.#posted);
    await withDeadline(work, LAST_CALL_MS, "The board").catch(() => {});
    await withDeadline(board.close(), LAST_CALL_MS, "The board").catch(() => {});
  }

  async #exchange(own: InstanceSummary, isWatched: boolean): Promise<void> {
    const { board, clock } = this;
    try {
      const note = JSON.stringify(own);
      if (note.length > NOTE_LENGTH_MAX) return;
      this.#posted = own.name;
      await withDeadline(board.post(own.name, note, NOTE_LIFE_MS), ANSWER_LIMIT_MS, "The board");
      if (isWatched) {
        const notes = await withDeadline(board.notes(), ANSWER_LIMIT_MS, "The board");
        this.#others = notes.map(parseNote)
          .filter((found) => found !== undefined && found.name !== own.name)
          .map((found) => found!);
        this.#heardMs = clock.monotonicMs();
      }
      this.#silences = 0;
      this.#isRefused = false;
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (error instanceof BoardRefusesError) {
      this.#silences = 0;
      if (!this.#isRefused) this.onRefused(error);
      this.#isRefused = true;
      // Without the store nobody knows which board is meant: that says nothing about the board.
    } else if (!(error instanceof StoreError)) this.#silences++;
  }
}

/** Returns undefined for what is no note of an instance. */
export function parseNote(text: string): InstanceSummary | undefined {
  let note: Partial<Record<keyof InstanceSummary, unknown>>;
  try {
    note = JSON.parse(text) ?? {};
  } catch {
    return undefined; // Somebody else wrote it.
  }
  const { name, role, leads, atMs, level, text: said } = note;
  if (typeof name !== "string" || typeof said !== "string") return undefined;
  if (!ROLES.includes(role) || !LEVELS.includes(level)) return undefined;
  return {
    name: name.slice(0, TEXT_MAX),
    role: role as InstanceSummary["role"],
    leads: leads === true,
    atMs: numberOf(atMs),
    level: level as InstanceSummary["level"],
    text: said.slice(0, TEXT_MAX),
    writesPerSecond: numberOf(note.writesPerSecond),
    readsPerSecond: numberOf(note.readsPerSecond),
    queueDepth: numberOf(note.queueDepth),
    oldestAgeSeconds: numberOf(note.oldestAgeSeconds),
  };
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
