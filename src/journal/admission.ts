/** Decides why a write is not accepted, and for how long a lack of room counts as a state. */
import type { Write } from "../domain.ts";
import { AppError } from "../errors.ts";
import { extensionsOf, MAX_RECORD_BYTES, recordBytesBound, USER_ID_BYTES_MAX } from "./record.ts";

/** After the disk was found full, pushes are refused at once for so long. */
const DISK_FULL_PAUSE_MS = 500;
/**
 * A refusal for want of room counts as a state for so long, because whoever asks for the state does
 * so every now and then.
 */
const LACK_OF_ROOM_MS = 2_000;

export class Admission {
  #diskFullUntilMs = -Infinity;
  #reason = "";
  #lackingUntilMs = -Infinity;

  constructor(private readonly dir: string, private readonly monotonicMs: () => number) {}

  /**
   * It says why writes were just refused for want of room, and is undefined when none was for a
   * while.
   */
  get lackOfRoom(): string | undefined {
    return this.monotonicMs() < this.#lackingUntilMs ? this.#reason : undefined;
  }

  diskWasFull(): void {
    this.#diskFullUntilMs = this.monotonicMs() + DISK_FULL_PAUSE_MS;
    this.#lacks(`the disk of ${this.dir} is full`);
  }

  /** Returns the refusal of a journal that has as much as it may have. */
  journalIsFull(): AppError {
    this.#lacks(
      "the journal has as much as it may hold (JOURNAL_MAX_BYTES), and the store does not take it",
    );
    return new AppError(
      "queue-full",
      "The queue is full: writes come faster than they can be stored. Retry later.",
    );
  }

  /**
   * Refuses a write that the journal cannot take now, or never could.
   * @throws AppError `queue-full`, `body-too-large`
   */
  refuse(write: Write): void {
    const { userId, value } = write;
    if (this.monotonicMs() < this.#diskFullUntilMs) {
      throw new AppError("queue-full", "The disk is full. Retry later.");
    }
    const bytes = recordBytesBound(userId, value, extensionsOf(write));
    if (bytes <= MAX_RECORD_BYTES && userId.length * 3 <= USER_ID_BYTES_MAX) return;
    throw new AppError(
      "body-too-large",
      `A user id of ${userId.length} and a value of ${value.length} characters are more than a ` +
        "record holds.",
    );
  }

  #lacks(reason: string): void {
    this.#reason = reason;
    this.#lackingUntilMs = this.monotonicMs() + LACK_OF_ROOM_MS;
  }
}
