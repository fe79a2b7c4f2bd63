/** What every Lease keeps to, by the words of src/ports/lease.ts. */
import assert from "node:assert/strict";
import type { Lease } from "../../src/ports/lease.ts";
import { eventually } from "../support/dsproxy.ts";

export interface LeaseUnderTest extends AsyncDisposable {
  readonly lease: Lease;
  /** Another instance's way to the same lease; undefined where there is no other instance. */
  readonly other: Lease | undefined;
  /** Lets so much time pass for whoever keeps the lease. */
  pass(forMs: number): Promise<void>;
  /** What the clock of whoever keeps the lease shows, Unix milliseconds. */
  nowMs(): number;
}

const LONG_MS = 60_000;
const SHORT_MS = 300;

export function leaseContract(name: string, make: () => Promise<LeaseUnderTest>): void {
  const test = (behaviour: string, work: (tested: LeaseUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await make();
      await work(tested);
    });

  test("what nobody has is taken, and the time of that is told", async ({ lease, nowMs }) => {
    const beforeMs = nowMs();
    const { holder, sinceMs } = await lease.hold("a/1", LONG_MS);
    assert.equal(holder, "a/1");
    assert.ok(sinceMs >= beforeMs - 1 && sinceMs <= nowMs() + 1, `${sinceMs}, not ${beforeMs}`);
  });

  test("whoever has it prolongs it, and has it since the same time", async (tested) => {
    const { lease } = tested;
    const first = await lease.hold("a/1", SHORT_MS);
    for (let i = 0; i < 4; i++) {
      await tested.pass(SHORT_MS / 2);
      assert.deepEqual(await lease.hold("a/1", LONG_MS), first);
    }
  });

  test("what was given back can be taken by another", async ({ lease, other = lease }) => {
    await lease.hold("a/1", LONG_MS);
    await lease.release("a/1");
    assert.equal((await other.hold("b/1", LONG_MS)).holder, "b/1");
  });

  test("giving back what nobody has, or another, does nothing", async ({ lease, other = lease }) => {
    await other.release("b/1");
    const first = await lease.hold("a/1", LONG_MS);
    await other.release("b/1");
    assert.deepEqual(await lease.hold("a/1", LONG_MS), first);
    assert.deepEqual(await other.hold("b/1", LONG_MS), first, "the other is told who has it");
  });

  test("two starts of one instance are two holders", async ({ lease, other = lease }) => {
    await lease.hold("a/1", LONG_MS);
    assert.equal((await other.hold("a/10", LONG_MS)).holder, "a/1");
    assert.equal((await other.hold("a/", LONG_MS)).holder, "a/1");
  });

  test("of many who ask at the same time one has it", async ({ lease, other = lease }) => {
    const answers = await Promise.all(
      Array.from(
        { length: 20 },
        (_, i) => (i % 2 === 0 ? lease : other).hold(`${i}/1`, LONG_MS),
      ),
    );
    const winners = answers.filter(({ holder }, i) => holder === `${i}/1`);
    assert.equal(winners.length, 1, JSON.stringify(answers));
    const last = await lease.hold("late/1", LONG_MS);
    assert.equal(last.holder, winners[0]!.holder);
  });

  test("after its life another can take it, and has it since then", async (tested) => {
    const { lease, other } = tested;
    if (other === undefined) return await assertNeverOver(tested);
    const first = await lease.hold("a/1", SHORT_MS);
    assert.equal((await other.hold("b/1", LONG_MS)).holder, "a/1");
    await tested.pass(SHORT_MS);
    await eventually("its life is over", async () => {
      const { holder, sinceMs } = await other.hold("b/1", LONG_MS);
      return holder === "b/1" && sinceMs >= first.sinceMs + SHORT_MS;
    });
    assert.equal((await lease.hold("a/1", LONG_MS)).holder, "b/1");
  });
}

/** Nobody else could lead, so that it need not end either. */
async function assertNeverOver({ lease, pass }: LeaseUnderTest): Promise<void> {
  const first = await lease.hold("a/1", SHORT_MS);
  await pass(2 * SHORT_MS);
  assert.deepEqual(await lease.hold("a/1", SHORT_MS), first);
}
