/** Keeps the groups that were received, in their order, until they are done with. */
import type { Received } from "../ports/broker.ts";
import type { EntryGroup } from "../ports/group_store.ts";
import type { ProcessTrace } from "../telemetry/tracing.ts";

export interface Waiting {
  readonly group: EntryGroup;
  readonly received: Received;
  readonly trace: ProcessTrace | undefined;
  /** The broker was told what became of it. */
  isDone: boolean;
}

export class WaitingGroups {
  readonly #waiting: Waiting[] = [];
  /** They are on their way to the store, and not there for all that is known. */
  #taken: readonly Waiting[] = [];
  #rows = 0;
  #received = 0;
  #done = 0;

  /** So many wait, apart from those that were taken. */
  get length(): number {
    return this.#waiting.length;
  }

  /** They have so many entries. */
  get rows(): number {
    return this.#rows;
  }

  /** So many entries are not stored, those that were taken among them. */
  get unstoredRows(): number {
    return this.#rows + rowsOf(this.#taken.filter(({ isDone }) => !isDone));
  }

  /** It is of all that are not stored. */
  get oldestAcceptedMs(): number | undefined {
    const oldest = this.#taken.find(({ isDone }) => !isDone) ?? this.#waiting[0];
    return oldest?.group.entries[0]?.acceptedMs;
  }

  /** So many were received, and so many of these are done with, in their order. */
  get counts(): { readonly received: number; readonly done: number } {
    return { received: this.#received, done: this.#done };
  }

  add(received: Omit<Waiting, "isDone">): void {
    this.#waiting.push({ ...received, isDone: false });
    this.#rows += received.group.entries.length;
    this.#received++;
  }

  /** Takes the oldest ones out, as many as have this many rows together, and one at least. */
  take(maxRows: number): readonly Waiting[] {
    let rows = 0;
    let count = 0;
    for (const { group } of this.#waiting) {
      if (count > 0 && rows + group.entries.length > maxRows) break;
      rows += group.entries.length;
      count++;
    }
    this.#rows -= rows;
    return this.#taken = this.#waiting.splice(0, count);
  }

  /** Those that are done stay away. */
  putBack(batch: readonly Waiting[]): void {
    const left = batch.filter(({ isDone }) => !isDone);
    this.#taken = [];
    this.#waiting.unshift(...left);
    this.#rows += rowsOf(left);
  }

  /** What was not stored is given back to the broker, and nothing more is told of it. */
  abandon(): void {
    for (const { isDone, trace } of [...this.#taken, ...this.#waiting]) if (!isDone) trace?.end();
  }

  done(one: Waiting): void {
    one.isDone = true;
    this.#done++;
  }
}

export function rowsOf(batch: readonly Waiting[]): number {
  return batch.reduce((sum, { group }) => sum + group.entries.length, 0);
}
