import { deadLettersContract } from "./dead_letters_suite.ts";
import { storeIdentityContract } from "./store_identity_suite.ts";
import { storeContract } from "./store_suite.ts";
import {
  fakeUnderTest,
  postgresUnderTest,
  simulatedUnderTest,
  sqliteUnderTest,
} from "./store_tables.ts";

storeContract("the fake store", fakeUnderTest);

for (
  const [name, make] of [
    ["PostgreSQL", postgresUnderTest],
    ["SQLite", sqliteUnderTest],
    ["the simulated store", simulatedUnderTest],
  ] as const
) {
  storeContract(name, make);
  storeIdentityContract(name, make);
  deadLettersContract(name, make);
}
