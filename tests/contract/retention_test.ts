import assert from "node:assert/strict";
import { FakeStore } from "../support/fakes.ts";
import { MemoryRetention, RETENTION_BUGS } from "../support/memory_retention.ts";
import { checkRetention, retentionContract, type RetentionUnderTest } from "./retention_suite.ts";
import { memoryTables, postgresUnderTest, sqliteUnderTest } from "./store_tables.ts";

function memoryUnderTest(bug?: (typeof RETENTION_BUGS)[number]): RetentionUnderTest {
  const store = new FakeStore();
  const retention = new MemoryRetention(store.tables, bug);
  return { store, retention, ...memoryTables(store.tables) };
}

retentionContract("the memory store", () => Promise.resolve(memoryUnderTest()));
retentionContract("PostgreSQL", postgresUnderTest);
retentionContract("SQLite", sqliteUnderTest);

for (const bug of RETENTION_BUGS) {
  Deno.test(`retention that ${bug} is found`, async () => {
    const findings = await Promise.allSettled(
      [1, 2, 3, 4, 5, 6].map((seed) => checkRetention(memoryUnderTest(bug), seed)),
    );
    const found = findings.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    assert.ok(found.length > 0);
    for (const { reason } of found) assert.ok(reason instanceof assert.AssertionError, `${reason}`);
  });
}
