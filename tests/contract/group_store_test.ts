import { MemoryGroups } from "../support/memory_groups.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { groupStoreContract } from "./group_store_suite.ts";
import { memoryTables, postgresUnderTest } from "./store_tables.ts";

groupStoreContract("PostgreSQL", postgresUnderTest);

groupStoreContract("memory", () => {
  const tables = new MemoryStore();
  return Promise.resolve({
    ...memoryTables(tables),
    groups: new MemoryGroups(tables),
    store: { marks: (sources) => Promise.resolve(tables.marks(sources)) },
    identity: { identify: () => Promise.resolve(tables.identity) },
  });
});
