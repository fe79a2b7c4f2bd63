/**
 * Keeps entries that are acknowledged and not durable yet: each may still be withdrawn, and then the
 * others of its user count again. All of them are of this run.
 */
import { type Entry, newest } from "../domain.ts";

interface OfUser {
  /** They are in the order in which they were accepted. */
  readonly entries: Entry[];
  /** It is undefined while it has to be found out anew. */
  newest: Entry | undefined;
}

export class VolatileEntries {
  readonly #users = new Map<string, OfUser>();

  get isEmpty(): boolean {
    return this.#users.size === 0;
  }

  add(entry: Entry): void {
    const held = this.#users.get(entry.userId);
    if (held === undefined) {
      this.#users.set(entry.userId, { entries: [entry], newest: entry });
      return;
    }
    held.entries.push(entry);
    if (held.newest !== undefined) held.newest = newest(held.newest, entry);
  }

  /** Takes an entry away, and returns true when it was there. */
  remove({ userId, run, seq }: Entry): boolean {
    const held = this.#users.get(userId);
    if (held === undefined) return false;
    const index = held.entries.findIndex((entry) => entry.seq === seq && entry.run === run);
    if (index < 0) return false;
    held.entries.splice(index, 1);
    if (held.newest?.seq === seq) held.newest = undefined;
    if (held.entries.length === 0) this.#users.delete(userId);
    return true;
  }

  has(userId: string): boolean {
    return this.#users.has(userId);
  }

  newest(userId: string): Entry | undefined {
    const held = this.#users.get(userId);
    if (held === undefined || held.newest !== undefined) return held?.newest;
    for (const entry of held.entries) held.newest = newest(held.newest, entry);
    return held.newest;
  }
}
