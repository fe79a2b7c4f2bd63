/**
 * Which parts a run has: with a broker between or without, how many machines and workers. It comes
 * from the seed by chance of its own, so that what is added here leaves the other runs as they are.
 */
import { Random } from "../support/random.ts";

export interface Layout {
  /** Without one, all goes from one machine to the store directly. */
  readonly broker: BrokerLayout | undefined;
  readonly machines: number;
  /** It is there where machines go away, and others may bring on what they have left. */
  readonly adoption: AdoptionLayout | undefined;
}

interface AdoptionLayout {
  /** Of several each takes the lead as it likes, as if no lease were good for anything. */
  readonly adopters: number;
  readonly afterMs: number;
  readonly maxRows: number;
}

interface BrokerLayout {
  /** Processes that are workers and nothing else; of 0 the machines are workers, too. */
  readonly workers: number;
  /** A machine that starts may have been told of the broker, or not. */
  readonly comesAndGoes: boolean;
  /** A worker is given so many messages that it has not acknowledged … */
  readonly unacknowledgedMax: number;
  /** … and waits so long for more: together they bound how fast a backlog goes. */
  readonly batchIntervalMs: number;
  /** Of the messages that come: it is there twice. */
  readonly duplicates: number;
  /** Of the messages that are given: not the one that came first. */
  readonly reorders: number;
  /** Of the messages that it confirms: its disk burns with them. */
  readonly burns: number;
  /** One settlement of what workers have stored has at most so many rows. */
  readonly settledMax: number;
}

const SHARE = 0.5;
/** Any number that keeps this chance apart from that of the run. */
const APART = 0x9e3779b9;
const FURTHER_APART = 0x7f4a7c15;
const ADOPTION_SHARE = 0.3;

export function layoutOf(seed: number): Layout {
  const random = new Random(seed ^ APART);
  // It has a chance of its own, so that all else stays as it was.
  const adoption = adoptionOf(new Random(seed ^ FURTHER_APART));
  if (!random.chance(SHARE)) return { broker: undefined, machines: 1, adoption };
  return {
    adoption,
    machines: random.chance(0.3) ? 2 : 1,
    broker: {
      workers: random.pick([0, 1, 1, 2, 3]),
      comesAndGoes: random.chance(0.3),
      unacknowledgedMax: random.pick([2, 10, 200]),
      batchIntervalMs: random.pick([50, 300]),
      duplicates: random.pick([0, 0, 0.2]),
      reorders: random.pick([0, 0.3]),
      burns: random.chance(0.1) ? 0.05 : 0,
      settledMax: random.pick([5_000, 5_000, 3]),
    },
  };
}

function adoptionOf(random: Random): AdoptionLayout | undefined {
  if (!random.chance(ADOPTION_SHARE)) return undefined;
  return {
    adopters: random.pick([1, 1, 2]),
    afterMs: random.pick([100, 1_000]),
    maxRows: random.pick([2, 20, 200]),
  };
}
