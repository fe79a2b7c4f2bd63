/** Fifty instances flush what they have to one database, with and without slots. */
import assert from "node:assert/strict";
import { DISK_ROWS_A_SECOND, LIVES, simulateFlushes } from "./flush_simulation.ts";

const FIFTY = { instances: 50, rows: 20_000, limitMs: 1_200_000 };
const ROWS = FIFTY.instances * FIFTY.rows;
const SEEDS = [1, 2, 3, 4, 5];

Deno.test("fifty without slots overrun their deadlines; with slots nobody does, and all are faster", async () => {
  for (const seed of SEEDS) {
    const without = await simulateFlushes({ ...FIFTY, seed });
    const bounded = await simulateFlushes({ ...FIFTY, seed, slots: 4 });
    const told = `seed ${seed}: ${JSON.stringify({ without, bounded })}`;
    assert.ok(without.most === 50 && without.failed > 100, told);
    assert.deepEqual([bounded.most, bounded.failed, bounded.stored], [4, 0, ROWS], told);
    const perSecond = ({ stored, tookMs }: typeof bounded) => stored / tookMs * 1_000;
    assert.ok(perSecond(bounded) > 1.5 * perSecond(without), told);
    // What slots cost while they change hands is little.
    assert.ok(perSecond(bounded) > 0.85 * DISK_ROWS_A_SECOND, told);
  }
});

Deno.test("nobody is kept waiting while others are served again and again", async () => {
  for (const seed of SEEDS) {
    const { halfway, longestWaitMs } = await simulateFlushes({ ...FIFTY, seed, slots: 2 });
    // Each had the same number of turns, and one more or less.
    const spread = Math.max(...halfway) - Math.min(...halfway);
    assert.ok(spread <= 5_000, `seed ${seed}: ${halfway}`);
    // 49 others at 5,000 rows each, and what changing hands takes.
    assert.ok(longestWaitMs < 1.2 * 50 * 5_000 / DISK_ROWS_A_SECOND * 1_000, `${longestWaitMs}`);
  }
});

Deno.test("whoever is killed, no more flushes are under way than there are slots, and all is stored", async () => {
  for (const seed of SEEDS) {
    const report = await simulateFlushes({ ...FIFTY, seed, slots: 4, killEveryMs: 1_000 });
    const told = `seed ${seed}: ${JSON.stringify(report)}`;
    assert.ok(report.killed > 50, told);
    assert.deepEqual([report.most <= 4, report.stored], [true, ROWS], told);
  }
});

Deno.test("an emptied Redis lets in as many again, once: those who come later keep to the bound", async () => {
  for (const seed of SEEDS) {
    const emptiedAtMs = [20_250];
    const report = await simulateFlushes({ ...FIFTY, seed, slots: 4, emptiedAtMs });
    const told = `seed ${seed}: ${JSON.stringify(report)}`;
    assert.ok(report.most > 4 && report.most <= 8, told);
    assert.deepEqual([report.mostSinceEmptied, report.stored], [4, ROWS], told);
  }
});

Deno.test("a seed is replayed event by event", async () => {
  const options = { ...FIFTY, seed: 7, rows: 5_000, slots: 3, killEveryMs: 500 };
  const [one, two] = [await simulateFlushes(options), await simulateFlushes(options)];
  assert.deepEqual(one, two);
  assert.ok(LIVES.slotLifeMs > 0 && one.killed > 0);
});
