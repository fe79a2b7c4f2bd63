/** The journal, and whoever wants to know what it is told to let go of. */
import type { Write } from "../../src/domain.ts";
import type { Intake, IntakeStatus, Receipt, Stage } from "../../src/ports/intake.ts";
import type { Batch, Rewound, Source } from "../../src/ports/source.ts";

interface JournalWatcher {
  /** The batch is settled at this moment. */
  settling(batch: Batch): void;
  /** The store has `source` through `seq` only; this is what can be sent again. */
  rewound(source: string, seq: number, rewound: Rewound): void;
}

export class WatchedJournal implements Intake, Source {
  constructor(
    private readonly journal: Intake & Source,
    private readonly watcher: JournalWatcher,
  ) {}

  get run(): string {
    return this.journal.run;
  }
  get unsettled(): number {
    return this.journal.unsettled;
  }
  push(write: Write): Receipt {
    return this.journal.push(write);
  }
  read(run: string, seq: number) {
    return this.journal.read(run, seq);
  }
  stageOf(run: string, seq: number): Stage {
    return this.journal.stageOf(run, seq);
  }
  status(): IntakeStatus {
    return this.journal.status();
  }
  close(): Promise<void> {
    return this.journal.close();
  }
  open(): Promise<ReadonlyMap<string, number>> {
    return this.journal.open();
  }
  take(maxRows: number): Promise<Batch | undefined> {
    return this.journal.take(maxRows);
  }
  settle(batch: Batch): Promise<void> {
    this.watcher.settling(batch);
    return this.journal.settle(batch);
  }
  async rewind(source: string, seq: number): Promise<Rewound> {
    const rewound = await this.journal.rewind(source, seq);
    this.watcher.rewound(source, seq, rewound);
    return rewound;
  }
}
