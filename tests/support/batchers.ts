/** A batcher on delivery that does what it is told. */
import { Batcher } from "../../src/delivery/batcher.ts";
import type { Settlement } from "../../src/delivery/delivery.ts";
import { PauseSwitch } from "../../src/pause_switch.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock } from "./fake_clock.ts";
import { entry, INSTANCE } from "./fakes.ts";

const SETTLEMENT: Settlement = {
  source: INSTANCE,
  entries: [entry(1)],
  lastSeq: 1,
  stored: [entry(1)],
  dead: [],
};

/** Delivery that does what it is told; each step settles a batch of ten. */
class FakeDelivery {
  unsettled = 0;
  rowsInHand = 0;
  isAhead = false;
  steps = 0;
  /** A step settles so many entries, for all that it says. */
  settles = 1;
  failWith: Error | undefined;
  /** Steps wait for it. */
  gate: Promise<void> = Promise.resolve();
  onStep: () => void = () => {};
  /** What each step was told. */
  readonly sentAhead: boolean[] = [];

  async step(sendsAhead = true): Promise<Settlement | undefined> {
    this.steps++;
    this.sentAhead.push(sendsAhead);
    this.onStep();
    await this.gate;
    if (this.failWith !== undefined) throw this.failWith;
    if (this.unsettled === 0) return undefined;
    this.unsettled = Math.max(0, this.unsettled - 10);
    return { ...SETTLEMENT, entries: Array.from({ length: this.settles }, (_, i) => entry(i + 1)) };
  }
}

export function batcherSetUp({ size = 10, intervalMs = 2_000, max = 1_000 } = {}) {
  const clock = new FakeClock();
  const delivery = new FakeDelivery();
  const pausing = new PauseSwitch();
  const waiters = { isAwaited: false };
  const lines: string[] = [];
  const log = new Log("info", "json", (line) => lines.push(line));
  const batcher = new Batcher(
    { size, intervalMs, max },
    { delivery, clock, log, pausing, random: () => 0.5, isAwaited: () => waiters.isAwaited },
  );
  return { clock, delivery, batcher, pausing, waiters, lines };
}
