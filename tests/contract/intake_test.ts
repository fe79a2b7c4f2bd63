import { JOURNALS } from "../support/journals_under_test.ts";
import { intakeContract } from "./intake_suite.ts";

for (const [name, make] of Object.entries(JOURNALS)) {
  intakeContract(name, async (listener) => {
    const { journal, dispose } = await make(listener);
    return { intake: journal, source: journal, dispose };
  });
}
