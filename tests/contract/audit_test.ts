import { auditContract } from "./audit_suite.ts";
import { postgresUnderTest, sqliteUnderTest } from "./store_tables.ts";

auditContract("PostgreSQL", postgresUnderTest);
auditContract("SQLite", sqliteUnderTest);
