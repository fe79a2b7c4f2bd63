import assert from "node:assert/strict";
import fc from "fast-check";
import { DeliverySetUp } from "../support/delivery.ts";

const SEED = Number(Deno.env.get("PROPERTY_SEED") ?? 1);

/** What happens before the next call of the batcher can succeed. */
type Mishap = "refused connection" | "lost answer" | "none";

const scenario = fc.record({
  arrivals: fc.array(fc.integer({ min: 0, max: 120 }), { minLength: 1, maxLength: 8 }),
  refusedShare: fc.constantFrom(0, 0.05, 0.5, 1),
  refusedSeed: fc.integer({ min: 1, max: 1_000 }),
  mishaps: fc.array(fc.constantFrom<Mishap>("refused connection", "lost answer", "none"), {
    maxLength: 8,
  }),
  size: fc.constantFrom(1, 10, 50),
  max: fc.constantFrom(1, 7, 100, 5_000),
});

Deno.test(
  "whatever arrives, is refused or fails, each entry ends up once where it " +
    "belongs, in order",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        scenario,
        async ({ arrivals, refusedShare, refusedSeed, mishaps, size, max }) => {
          const up = new DeliverySetUp({ size, max, intervalMs: 1_000 });
          const { clock, journal, store, pending } = up;
          up.half.start();
          let seq = 0;
          for (const [i, arriving] of arrivals.entries()) {
            const mishap = mishaps[i] ?? "none";
            store.failWith = mishap === "refused connection"
              ? new Error("connection refused")
              : undefined;
            store.loseNextAnswer = mishap === "lost answer";
            for (let n = 0; n < arriving; n++) {
              seq++;
              if ((seq * refusedSeed) % 100 < refusedShare * 100) store.refused.add(seq);
              up.fill(seq, seq);
              up.half.durable([journal.entries.at(-1)!]);
            }
            await clock.advance(300);
          }
          store.failWith = undefined;
          for (let i = 0; i < 1_000 && journal.unsettled > 0; i++) await clock.advance(5_000);
          await up.half.stop();
          const all = Array.from({ length: seq }, (_, i) => i + 1);
          assert.deepEqual(
            store.rows.map((row) => row.seq),
            all.filter((n) => !store.refused.has(n)),
          );
          assert.deepEqual(
            store.dead.map((row) => row.seq),
            all.filter((n) => store.refused.has(n)),
          );
          assert.deepEqual([journal.unsettled, pending.users, clock.timers], [0, 0, 0]);
        },
      ),
      { seed: SEED, numRuns: 150 },
    );
  },
);
