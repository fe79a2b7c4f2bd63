/** Is the board where nobody shares one: an instance sees its own note. */
import type { Clock } from "../../ports/clock.ts";
import { type InstanceBoard, NOTE_LENGTH_MAX, NOTES_MAX } from "../../ports/instance_board.ts";

export class MemoryInstanceBoard implements InstanceBoard {
  readonly #notes = new Map<string, { readonly note: string; readonly endsMs: number }>();

  constructor(private readonly clock: Pick<Clock, "monotonicMs">) {}

  post(name: string, note: string, lifeMs: number): Promise<void> {
    if (note.length > NOTE_LENGTH_MAX) {
      return Promise.reject(new Error(`A note has at most ${NOTE_LENGTH_MAX} characters`));
    }
    this.#removeEnded();
    if (this.#notes.has(name) || this.#notes.size < NOTES_MAX) {
      this.#notes.set(name, { note, endsMs: this.clock.monotonicMs() + lifeMs });
    }
    return Promise.resolve();
  }

  notes(): Promise<readonly string[]> {
    this.#removeEnded();
    return Promise.resolve([...this.#notes.values()].map(({ note }) => note));
  }

  withdraw(name: string): Promise<void> {
    this.#notes.delete(name);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #removeEnded(): void {
    const nowMs = this.clock.monotonicMs();
    for (const [name, { endsMs }] of this.#notes) if (endsMs <= nowMs) this.#notes.delete(name);
  }
}
