/** Takes the batches of some sources for stored by others, and brings those of the rest there. */
import type { Delivered, Sink } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";

export class SinkBySource implements Sink {
  /** @param stored for batches of which `isForwarded` is true; `direct` for all else */
  constructor(
    private readonly isForwarded: (source: string) => boolean,
    private readonly stored: Sink,
    private readonly direct: Sink,
  ) {}

  get refusal(): string | undefined {
    return this.direct.refusal ?? this.stored.refusal;
  }

  /** The direct one has to be told the marks before it delivers. */
  marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    return this.direct.marks(sources);
  }

  deliver(batch: Batch, onSent?: () => void): Promise<Delivered> {
    const sink = this.isForwarded(batch.source) ? this.stored : this.direct;
    return sink.deliver(batch, onSent);
  }
}
