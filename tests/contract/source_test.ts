import type { Entry } from "../../src/domain.ts";
import { JOURNALS } from "../support/journals_under_test.ts";
import { sourceContract } from "./source_suite.ts";

for (const [name, make] of Object.entries(JOURNALS)) {
  sourceContract(name, async () => {
    const toldAgain: Entry[] = [];
    const { journal, dispose } = await make({
      durable: () => {},
      withdrawn: () => {},
      unsettled: (entry) => toldAgain.push(entry),
    });
    // One after the other and long enough, so that a journal needs more than one segment.
    const add = async (entries: number) => {
      for (let i = 0; i < entries; i++) {
        await journal.push({ userId: `user${i}`, value: "x".repeat(200), ts: 1_000 + i }).durable;
      }
    };
    return { source: journal, add, toldAgain, dispose };
  });
}
