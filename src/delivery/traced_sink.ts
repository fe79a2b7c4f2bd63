/**
 * Tells of what is brought to the store, where sampled writes are in it. The rest passes as if this
 * were not there.
 */
import type { Delivered, Sink } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";
import { contextsOf, type FlushTrace, type Tracing } from "../telemetry/tracing.ts";

export class TracedSink implements Sink {
  constructor(private readonly sink: Sink, private readonly tracing: Pick<Tracing, "flush">) {}

  get refusal(): string | undefined {
    return this.sink.refusal;
  }

  marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    return this.sink.marks(sources);
  }

  deliver(batch: Batch, onSent?: () => void): Promise<Delivered> {
    const { entries } = batch;
    const flush = this.tracing.flush(() => contextsOf(entries), entries.length);
    const delivered = this.sink.deliver(batch, onSent);
    return flush === undefined ? delivered : tell(flush, delivered);
  }
}

async function tell(flush: FlushTrace, delivering: Promise<Delivered>): Promise<Delivered> {
  try {
    const delivered = await delivering;
    // Whoever settles it ends the flush.
    flush.stored(delivered);
    return delivered;
  } catch (error) {
    flush.failed(error);
    throw error;
  }
}
