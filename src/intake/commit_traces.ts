/** Tells of sampled writes how long they took to become durable, or that they did not. */
import type { Entry } from "../domain.ts";
import type { CommitTrace, Tracing } from "../telemetry/tracing.ts";

export class CommitTraces {
  /** They are in the order of their numbers, as writes are accepted. */
  readonly #underWay = new Map<number, CommitTrace>();

  constructor(private readonly tracing: Pick<Tracing, "commit">) {}

  accepted({ seq, trace }: Entry): void {
    if (trace !== undefined) this.#underWay.set(seq, this.tracing.commit(trace));
  }

  durable(entries: readonly Entry[]): void {
    if (this.#underWay.size > 0) this.#end(entries, (commit) => commit.durable(entries.length));
  }

  withdrawn(entries: readonly Entry[]): void {
    if (this.#underWay.size > 0) this.#end(entries, (commit) => commit.withdrawn());
  }

  #end(entries: readonly Entry[], end: (commit: CommitTrace) => void): void {
    const lastSeq = entries.at(-1)!.seq;
    for (const [seq, commit] of this.#underWay) {
      if (seq > lastSeq) return;
      this.#underWay.delete(seq);
      end(commit);
    }
  }
}
