import assert from "node:assert/strict";
import { type Bug, BUGS } from "./bugs.ts";
import { type Outcome, simulate } from "./simulation.ts";

const SEEDS = Number(Deno.env.get("SIMULATION_SEEDS") ?? 2_500);
const FIRST_SEED = Number(Deno.env.get("SIMULATION_FIRST_SEED") ?? 1);
/** A planted bug has to show within so many seeds. */
const SEEDS_FOR_A_BUG = 300;

/** Each of these has to have happened, or what held was never tried. */
const FAULTS = [
  ...["kill", "power loss", "stop", "restart after a failed disk", "clock step", "bit flipped"],
  ...["intake stopped", "delivery stopped", "store went back", "sent again", "sent ahead"],
  ...["cache left out", "filled in by another instance"],
  ...["disk full", "write failed", "sync failed", "read failed"],
  ...[
    "store refused",
    "store black hole",
    "store deadline",
    "store cut before",
    "store cut after",
    "store died at work",
  ],
  ...["deadlock", "row refused", "every row refused", "cache read-only", "copies outdated"],
  ...[
    "cache refused",
    "cache black hole",
    "cache deadline",
    "cache cut before",
    "cache cut after",
    "cache flushed",
  ],
  ...[
    "broker refused",
    "broker black hole",
    "broker deadline",
    "broker cut before",
    "broker cut after",
    "broker died at work",
    "broker cuts a consumer",
    "broker forgot what it had not confirmed",
    "broker lost what it confirms",
    "broker has a message twice",
    "broker reorders",
    "broker gives again",
    "broker is told too late",
    "broker configured away",
    "broker configured",
  ],
  ...["worker killed", "worker stopped", "paused", "resumed"],
  ...["gone", "power loss of a machine that is gone", "journal adopted", "adopter killed"],
  ...["owner alone can send again", "term over"],
  ...[
    "write refused: queue-full",
    "write refused: journal-failed",
    "read refused: store-unavailable",
  ],
];

/** These need two others to meet. */
const MEETINGS = ["owner back in the middle"];

function replayHint({ seed, violation }: Outcome): string {
  return `seed ${seed}: ${violation}\nreplay: deno task simulate --seed ${seed}`;
}

const LAST_SEED = FIRST_SEED + SEEDS - 1;

Deno.test(`no promise is broken whatever fails: seeds ${FIRST_SEED} to ${LAST_SEED}`, async () => {
  const faults = new Map<string, number>();
  let [acknowledged, reads, replicated] = [0, 0, 0];
  for (let seed = FIRST_SEED; seed <= LAST_SEED; seed++) {
    const outcome = await simulate(seed);
    assert.equal(outcome.violation, undefined, replayHint(outcome));
    for (const [kind, count] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
    acknowledged += outcome.acknowledged;
    reads += outcome.reads;
    replicated += outcome.replicated;
  }
  assert.ok(replicated > SEEDS, `only ${replicated} writes were answered replicated`);
  assert.ok(acknowledged > 20 * SEEDS, `only ${acknowledged} writes were acknowledged`);
  assert.ok(reads > 20 * SEEDS, `only ${reads} reads were answered`);
  for (const kind of [...FAULTS, ...MEETINGS]) {
    const least = MEETINGS.includes(kind) ? SEEDS / 300 : SEEDS / 100;
    assert.ok(
      (faults.get(kind) ?? 0) > least,
      `${kind}: only ${faults.get(kind)} in ${SEEDS} runs`,
    );
  }
});

Deno.test("the same seed is the same run, event by event", async () => {
  const hashes = new Set<number>();
  for (let seed = 1; seed <= 100; seed++) {
    const [first, second] = [await simulate(seed), await simulate(seed)];
    assert.equal(first.traceHash, second.traceHash, `seed ${seed}`);
    assert.deepEqual(first.faults, second.faults);
    hashes.add(first.traceHash);
  }
  assert.equal(hashes.size, 100, "and another seed is another one");
});

for (const bug of BUGS) {
  Deno.test(`the simulation finds a planted bug: ${bug}`, async () => {
    const found = await firstBroken(bug);
    assert.ok(found, `not within ${SEEDS_FOR_A_BUG} seeds`);
    const again = await simulate(found.seed, bug);
    assert.equal(again.violation, found.violation, "a failing seed replays");
    assert.equal(
      (await simulate(found.seed)).violation,
      undefined,
      "and the program without the bug passes it",
    );
  });
}

async function firstBroken(bug: Bug): Promise<Outcome | undefined> {
  for (let seed = 1; seed <= SEEDS_FOR_A_BUG; seed++) {
    const outcome = await simulate(seed, bug);
    if (outcome.violation !== undefined) return outcome;
  }
  return undefined;
}
