/** The journal, and whoever wants to know what it is told to let go of. */
import type { Write } from "../../src/domain.ts";
import type { IntakeStatus, Receipt, Stage } from "../../src/ports/intake.ts";
import type { GroupSource } from "../../src/ports/group_source.ts";
import type { Batch, Rewound } from "../../src/ports/source.ts";
import type { JournalPorts } from "../../src/service_parts.ts";

interface JournalWatcher {
  /** The batch is settled at this moment. */
  settling(batch: Batch): void;
  /** The store has `source` through `seq` only; this is what can be sent again. */
  rewound(source: string, seq: number, rewound: Rewound): void;
  /** Returns what is given out in the place of this. */
  groups(source: GroupSource): GroupSource;
}

export class WatchedJournal implements JournalPorts {
  constructor(
    private readonly journal: JournalPorts,
    private readonly watcher: JournalWatcher,
  ) {}

  get run(): string {
    return this.journal.run;
  }
  get unsettled(): number {
    return this.journal.unsettled;
  }
  get sources(): readonly string[] {
    return this.journal.sources;
  }
  get waitingSources(): readonly string[] {
    return this.journal.waitingSources;
  }
  groups(isWanted: (source: string) => boolean): GroupSource {
    return this.watcher.groups(this.journal.groups(isWanted));
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
