/** Is the data directory of another instance, as far as one may look at it without its lock. */
import { join } from "node:path";
import type { JournalFileSystem } from "../disk/file_system.ts";
import { type Neighbours, readOnly } from "../disk/neighbours.ts";
import { readSmallFile } from "../disk/small_file.ts";
import { FORWARDED_FILE, readForwarded } from "../forwarding/forwarded_runs.ts";
import { checkStoreBinding, STORE_FILE, WrongStoreError } from "../guarding/store_binding.ts";
import { type LeftJournal, ownerOf, readLeftJournal, traceOf } from "../journal/left_journal.ts";
import type { Clock } from "../ports/clock.ts";

interface LeftDirectoryParts {
  readonly fs: JournalFileSystem;
  readonly neighbours: Pick<Neighbours, "isLocked">;
  readonly clock: Pick<Clock, "monotonicMs">;
}

/** The directory is not to be adopted, until somebody changes something there. */
export class LeftAloneError extends Error {
  override readonly name = "LeftAloneError";
}

export class LeftDirectory {
  readonly #fs: JournalFileSystem;
  readonly #journal: string;
  /** Nobody was seen to have its lock since then, by the monotonic clock. */
  #freeSinceMs: number | undefined;

  constructor(readonly path: string, private readonly parts: LeftDirectoryParts) {
    this.#fs = readOnly(parts.fs);
    this.#journal = join(path, "journal");
  }

  /** Returns the instance that it belongs to; undefined when none has begun here. */
  owner(): Promise<string | undefined> {
    return ownerOf(this.#fs, this.#journal);
  }

  /** Says whether its owner is at work. */
  async isTaken(): Promise<boolean> {
    const isTaken = await this.parts.neighbours.isLocked(join(this.#journal, "lock"));
    if (isTaken) this.#freeSinceMs = undefined;
    return isTaken;
  }

  /** Says whether its owner was seen not to be at work for so long. */
  async isLeftSince(afterMs: number): Promise<boolean> {
    if (await this.isTaken()) return false;
    const nowMs = this.parts.clock.monotonicMs();
    this.#freeSinceMs ??= nowMs;
    return nowMs - this.#freeSinceMs >= afterMs;
  }

  /** Returns what is another text once its owner has been at work in between. */
  async trace(): Promise<string> {
    const texts = [await traceOf(this.#fs, this.#journal)];
    for (const name of [STORE_FILE, FORWARDED_FILE]) {
      texts.push(await readSmallFile(this.#fs, this.path, name) ?? "");
    }
    return texts.join("\n");
  }

  /** @throws LeftAloneError unless what waits here is for the store with this identity */
  async refuseOtherStore(identity: string): Promise<void> {
    const bound = await this.#binding();
    if (bound?.identity === identity) return;
    throw new LeftAloneError(
      bound === undefined || bound.identity === null
        ? "It has never reached its store, so that nobody knows which one its writes are for: " +
          "start its instance while the store answers"
        : `It belongs to another store, with the identity ${bound.identity}: its instance has to ` +
          "be started with that one",
    );
  }

  /** Returns the runs that go by groups for ever. */
  forwarded(): Promise<ReadonlySet<string>> {
    return readForwarded(this.#fs, this.path);
  }

  readJournal(): Promise<LeftJournal> {
    return readLeftJournal(this.#fs, this.#journal);
  }

  async #binding(): ReturnType<typeof checkStoreBinding> {
    try {
      return await checkStoreBinding(this.path, "postgres", this.#fs);
    } catch (error) {
      if (!(error instanceof WrongStoreError)) throw error;
      throw new LeftAloneError(error.message, { cause: error });
    }
  }
}
