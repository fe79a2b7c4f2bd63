/** What a survey would not see if it compared counts and sums of powers alone. */
import assert from "node:assert/strict";
import { type AuditUnderTest, entries, RUN, stored } from "./audit_suite.ts";
import { postgresUnderTest, sqliteUnderTest } from "./store_tables.ts";

const STORES: Readonly<Record<string, () => Promise<AuditUnderTest>>> = {
  PostgreSQL: postgresUnderTest,
  SQLite: sqliteUnderTest,
};
/** Each pair of these has the same count, the same sum, and the same sum of squares. */
const ALIKE = [
  { lost: [1, 5, 6], doubled: [2, 3, 7] },
  { lost: [1, 5, 10, 16, 27, 28, 38, 39], doubled: [2, 3, 13, 14, 25, 31, 36, 40] },
];

for (const [name, make] of Object.entries(STORES)) {
  for (const { lost, doubled } of ALIKE) {
    Deno.test(`${name}: ${lost.length} rows that are lost are not made up for by as many that are there twice`, async () => {
      await using tested = await make();
      await stored(tested, entries(1, 50));
      await tested.execute(
        `insert into user_data select * from user_data where dsproxy_seq in (${doubled})`,
      );
      await tested.execute(`delete from user_data where dsproxy_seq in (${lost})`);
      const [source] = await tested.audit!.survey();
      const { missing, doubled: twice } = await tested.audit!.check(RUN, 1, 50);
      assert.deepEqual([missing.numbers, twice.numbers], [lost.length, lost.length]);
      assert.equal(source!.agrees, false, "the survey sees it as well");
    });
  }
}
