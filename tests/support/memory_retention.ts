/** Retention of a {@link MemoryStore}, with mistakes that its suite has to find. */
import { compareVersions, type Entry } from "../../src/domain.ts";
import type { Retention, Retired } from "../../src/ports/retention.ts";
import type { MemoryStore } from "./memory_store.ts";

export const RETENTION_BUGS = ["takes the latest", "goes by ts alone", "skips users"] as const;

export class MemoryRetention implements Retention {
  constructor(
    private readonly tables: MemoryStore,
    private readonly bug?: (typeof RETENTION_BUGS)[number],
  ) {}

  retire(_term: unknown, olderThanTs: number, limit: number, from = ""): Promise<Retired> {
    const users = [...new Set(this.tables.rows.map(({ userId }) => userId))].sort();
    let rows = 0;
    for (const userId of users.filter((id) => id >= from)) {
      const ofUser = this.tables.rows.filter((row) => row.userId === userId);
      const kept = ofUser.toSorted(compareVersions).at(-1)!;
      const hidden = ofUser.filter((row) => row.ts < olderThanTs && this.#isHidden(row, kept))
        .sort(compareVersions).slice(rows - limit);
      this.tables.rows = this.tables.rows.filter((row) => !hidden.includes(row));
      rows += hidden.length;
      const skipped = this.bug === "skips users" ? " " : "";
      if (rows === limit) return Promise.resolve({ rows, refused: 0, next: userId + skipped });
    }
    return Promise.resolve({ rows, refused: 0 });
  }

  #isHidden(row: Entry, kept: Entry): boolean {
    if (this.bug === "takes the latest") return true;
    if (this.bug === "goes by ts alone") return row.ts < kept.ts;
    return compareVersions(row, kept) < 0;
  }
}
