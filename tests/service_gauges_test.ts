import assert from "node:assert/strict";
import type { Config } from "../src/config/config.ts";
import type { Asked } from "../src/readiness.ts";
import { serviceGauges } from "../src/service_gauges.ts";

function setUp(role: "all" | "api" | "worker", queue: "journal" | "kafka") {
  const state = {
    phase: "serving" as Asked["service"]["phase"],
    depth: 0,
    failure: undefined as string | undefined,
    brokerFailure: undefined as string | undefined,
    counts: [] as PromiseWithResolvers<number>[],
  };
  const kinds = { store: { kind: "postgres" }, cache: { kind: "redis" }, queue: { kind: queue } };
  const config = { role, ...kinds, journal: { maxBytes: 1_000 } } as unknown as Config;
  const gauges = serviceGauges(config, {
    clock: { now: () => 60_000 },
    breakers: {},
    leads: () => false,
    deadLetters: () => {
      const asked = Promise.withResolvers<number>();
      state.counts.push(asked);
      return asked.promise;
    },
    asked: () => ({
      service: {
        phase: state.phase,
        refusal: undefined,
        brokerFailure: state.brokerFailure,
        status: {
          depth: state.depth,
          oldestAcceptedMs: state.depth > 0 ? 45_000 : undefined,
          bytes: 10,
          retainedBytes: 4,
          failure: state.failure,
          lackOfRoom: undefined,
        },
      },
      firstContact: { refusal: undefined },
      leadership: { description: "" },
      steering: { refusal: undefined, description: undefined },
    }),
  });
  return { gauges, state };
}

Deno.test("a scrape shows how it stands with the journal, and what is not there has no value", () => {
  const { gauges, state } = setUp("all", "journal");
  assert.equal(gauges.queueOldestAgeSeconds(), 0);
  assert.equal(gauges.isReady(), true);
  [state.depth, state.failure] = [3, "the disk is gone"];
  assert.equal(gauges.queueOldestAgeSeconds(), 15);
  assert.deepEqual([gauges.isReady(), gauges.journalHasFailed()], [false, true]);
  assert.deepEqual([gauges.journalMaxBytes(), gauges.isBrokerUp()], [1_000, undefined]);
  const worker = setUp("worker", "kafka");
  assert.deepEqual([worker.gauges.journalMaxBytes(), worker.gauges.isBrokerUp()], [
    undefined,
    true,
  ]);
  worker.state.brokerFailure = "nobody answers";
  assert.equal(worker.gauges.isBrokerUp(), false);
  assert.equal(worker.gauges.kinds.role, "worker");
});

Deno.test("a store that is busy with a backlog does not hold a scrape up, and is asked by one at a time", async () => {
  const { gauges, state } = setUp("all", "journal");
  state.depth = 10_000;
  const [first, second] = [gauges.deadLetters(), gauges.deadLetters()];
  state.counts[0]!.resolve(7);
  assert.deepEqual(await Promise.all([first, second]), [7, 7], "nothing was known before");
  assert.equal(await gauges.deadLetters(), 7, "answered though the store has not");
  assert.equal(state.counts.length, 2);
  state.counts[1]!.reject(new Error("away"));
  await Promise.resolve();
  state.depth = 0;
  await new Promise((resolve) => setTimeout(resolve));
  const fresh = gauges.deadLetters();
  state.counts[2]!.resolve(8);
  assert.equal(await fresh, 8, "without a backlog it is waited for");
});

Deno.test("a count that takes longer than a scrape waits is known at the next one", async () => {
  const { gauges, state } = setUp("all", "journal");
  await assert.rejects(gauges.deadLetters(), /The store/);
  await assert.rejects(gauges.deadLetters(), /The store/);
  assert.equal(state.counts.length, 1, "one count at a time");
  state.counts[0]!.resolve(5_000_000);
  await new Promise((resolve) => setTimeout(resolve));
  state.depth = 10_000;
  assert.equal(await gauges.deadLetters(), 5_000_000);
  state.counts[1]!.resolve(5_000_001);
});

Deno.test("before the store is admitted it is not asked", async () => {
  const { gauges, state } = setUp("all", "journal");
  state.phase = "recovering";
  await assert.rejects(gauges.deadLetters());
  assert.equal(state.counts.length, 0);
});
