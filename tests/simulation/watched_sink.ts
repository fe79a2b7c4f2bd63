/** The sink, and whoever wants to know that it was given a batch before the last one was settled. */
import type { Delivered, Sink } from "../../src/ports/sink.ts";
import type { Batch } from "../../src/ports/source.ts";

export class WatchedSink implements Sink {
  #last: Pick<Batch, "source" | "lastSeq"> = { source: "", lastSeq: 0 };

  /**
   * @param settledThrough says how far a source is settled
   * @param onSentAhead is called for a batch that follows one which the sink has, and which is not
   *   settled yet
   */
  constructor(
    private readonly sink: Sink,
    private readonly settledThrough: (source: string) => number,
    private readonly onSentAhead: () => void,
    private readonly takesAheadForStored: boolean,
  ) {}

  get refusal(): string | undefined {
    return this.sink.refusal;
  }
  marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    return this.sink.marks(sources);
  }
  async deliver(batch: Batch, onSent?: () => void): Promise<Delivered> {
    const isAhead = batch.source === this.#last.source && batch.lastSeq > this.#last.lastSeq &&
      this.settledThrough(batch.source) < this.#last.lastSeq;
    if (isAhead) this.onSentAhead();
    const delivering = this.sink.deliver(batch, onSent);
    if (isAhead && this.takesAheadForStored) {
      delivering.catch(() => {});
      return { stored: batch.entries, dead: [] };
    }
    const delivered = await delivering;
    this.#last = batch;
    return delivered;
  }
}
