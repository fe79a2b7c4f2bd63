/** Temporary: the old queue as the two ports, until the journal offers them itself. */
import { parseWriteId } from "../domain.ts";
import type { Intake, IntakeListener } from "../ports/intake.ts";
import type { Batch, Source } from "../ports/source.ts";
import { type Journal, type JournalOptions, openJournal } from "./journal.ts";

export interface Halves {
  readonly journal: Intake & Source;
  readonly queue: Journal;
  closeCurrent: boolean;
}

export async function openHalves(
  options: JournalOptions,
  listener: IntakeListener,
): Promise<Halves> {
  const queue = await openJournal({
    ...options,
    onRecovered: (entry) => listener.unsettled(entry),
  });
  const taken: Batch[] = [];
  let given = 0;
  const settled = new Map<string, number>();
  if (queue.settledBefore) settled.set(queue.settledBefore.source, queue.settledBefore.seq);
  const journal: Intake & Source = {
    run: queue.stats().instance,
    push(write) {
      const { entry, durable } = queue.push(write);
      return {
        entry,
        durable: durable.then(() => listener.durable([entry]), (error) => {
          listener.withdrawn([entry]);
          throw error;
        }),
      };
    },
    read: (_, seq) => queue.read(seq),
    stageOf(run, seq) {
      const { instance, ackedSeq, lastSeq } = queue.stats();
      if (run !== instance || seq > lastSeq || !parseWriteId(`${run}-${seq}`)) return "unknown";
      return seq > ackedSeq ? "durable" : "settled";
    },
    status() {
      const { lastSeq, ackedSeq, ...rest } = queue.stats();
      return { ...rest, retainedBytes: 0, accepted: lastSeq, durable: lastSeq, settled: ackedSeq };
    },
    close: () => queue.close(halves.closeCurrent),
    get unsettled() {
      return queue.stats().depth;
    },
    open() {
      given = 0;
      return Promise.resolve(settled);
    },
    async take(maxRows) {
      if (given < taken.length) return taken[given++];
      const batch = await queue.take(maxRows);
      if (batch !== undefined) {
        taken.push(batch);
        given++;
      }
      return batch;
    },
    async settle(batch) {
      settled.set(batch.source, batch.lastSeq);
      while (
        taken[0] !== undefined && taken[0].source === batch.source &&
        taken[0].lastSeq <= batch.lastSeq
      ) {
        taken.shift();
        given--;
      }
      await queue.ack(batch);
    },
    rewind(source) {
      const missingThrough = settled.get(source);
      settled.delete(source);
      return Promise.resolve({ entries: 0, missingThrough });
    },
  };
  const halves: Halves = { journal, queue, closeCurrent: false };
  return halves;
}
