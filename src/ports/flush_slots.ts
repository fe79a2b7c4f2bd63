/**
 * Bounds how many flushes are under way at a time, for all who share the slots: what is too much
 * for one database at once goes there one after another.
 */
export interface FlushSlots {
  /**
   * Waits for a slot, behind those who came before. A slot is its holder's until it is released, or
   * until it expires, as nobody releases those of a process that was killed.
   * @param store the identity of the store: each has slots of its own
   * @param signal ends the wait
   * @returns undefined when the wait ended without a slot, by `signal` or because it took too long
   * @throws whatever keeps the slots from being asked for
   */
  acquire(store: string, signal: AbortSignal): Promise<FlushSlot | undefined>;
  /** To be called when nobody waits any more. What was released before is given back. */
  close(): Promise<void>;
}

export interface FlushSlot {
  /**
   * Gives it back, without a wait: where that goes wrong it expires. A second time nothing is done.
   */
  release(): void;
}
