/**
 * The journal as the old port has it, for those who have not changed over to its two ports yet.
 * Numbers are understood as those of the current run; of earlier runs they may collide.
 */
import type { Entry } from "../domain.ts";
import type { Queue } from "../ports/queue.ts";
import { type JournalOptions, openJournal } from "./journal.ts";

export interface QueueOptions extends Omit<JournalOptions, "retainMs" | "listener"> {
  /** Called in order with every entry found at the start that the store may not have. */
  readonly onRecovered?: (entry: Entry) => void;
}

/** @throws AppError `journal-failed` */
export async function openQueue(options: QueueOptions): Promise<Queue> {
  const runs = new Map<number, string>();
  const journal = await openJournal({
    ...options,
    retainMs: 0,
    listener: {
      durable: () => {},
      withdrawn: () => {},
      unsettled: (entry) => {
        runs.set(entry.seq, entry.run);
        options.onRecovered?.(entry);
      },
    },
  });
  return {
    cacheWasCurrent: false,
    settledBefore: undefined,
    push: (write) => journal.push(write),
    take: (maxRows) => journal.take(maxRows),
    ack: (batch) => journal.settle(batch),
    read: async (seq) =>
      await journal.read(journal.run, seq) ?? await journal.read(runs.get(seq) ?? "", seq),
    stats() {
      const { depth, oldestAcceptedMs, bytes, accepted, settled, failure, lackOfRoom } = journal
        .status();
      return {
        instance: journal.run,
        depth,
        oldestAcceptedMs,
        bytes,
        lastSeq: accepted,
        ackedSeq: settled,
        failure,
        lackOfRoom,
      };
    },
    close: () => journal.close(),
  };
}
