import { deadLetterRetriesContract } from "./dead_letter_retries_suite.ts";
import { postgresUnderTest, sqliteUnderTest } from "./store_tables.ts";

deadLetterRetriesContract("PostgreSQL", postgresUnderTest);
deadLetterRetriesContract("SQLite", sqliteUnderTest);
