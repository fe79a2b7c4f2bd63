/**
 * What the store has confirmed, held against what it says that it has. A mark never goes back by
 * itself: where it did, an older backup was restored, a replica that was behind took over, or the
 * database was made anew, and confirmed writes are gone.
 */

export interface WentBack {
  readonly source: string;
  /** The store had confirmed everything through this number … */
  readonly confirmedSeq: number;
  /** … and now has what is through this one. */
  readonly foundSeq: number;
}

export class ConfirmedMarks {
  readonly #confirmed = new Map<string, number>();

  /** @param onWentBack told once of each loss */
  constructor(private readonly onWentBack: (loss: WentBack) => void) {}

  confirm(source: string, seq: number): void {
    this.#confirmed.set(source, Math.max(seq, this.of(source)));
  }

  of(source: string): number {
    return this.#confirmed.get(source) ?? 0;
  }

  /** False when the store, which has `foundSeq` now, went back. */
  agrees(source: string, foundSeq: number): boolean {
    const confirmedSeq = this.of(source);
    this.#confirmed.set(source, foundSeq);
    if (foundSeq >= confirmedSeq) return true;
    this.onWentBack({ source, confirmedSeq, foundSeq });
    return false;
  }

  /** Only the source that is being written can go back unseen. */
  forgetOthers(source: string): void {
    for (const other of this.#confirmed.keys()) if (other !== source) this.#confirmed.delete(other);
  }
}
