import { StoreSink } from "../../src/delivery/store_sink.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeSink, type OtherSide } from "../support/fake_sink.ts";
import { idleMetrics } from "../support/fakes.ts";
import { sinkContract, type SinkUnderTest } from "./sink_suite.ts";
import {
  fakeUnderTest,
  postgresUnderTest,
  simulatedUnderTest,
  sqliteUnderTest,
} from "./store_tables.ts";
import type { OneStoreUnderTest } from "./store_under_test.ts";

const MAX_ROWS = 100;
const log = new Log("error", "json", () => {});
const metrics = idleMetrics();

async function overStore(makeStore: () => Promise<OneStoreUnderTest>): Promise<SinkUnderTest> {
  const tested = await makeStore();
  const { store } = tested;
  return {
    start: () => new StoreSink(MAX_ROWS, { store, metrics, log }),
    values: async () => (await tested.rows()).map(({ value }) => value ?? ""),
    refuseBad: async () => void await tested.refuse("the value bad"),
    refuseAll: () => tested.refuse("every row"),
    goBack: (seq) => tested.setMarks(seq),
    [Symbol.asyncDispose]: () => tested[Symbol.asyncDispose](),
  };
}

function inMemory(): Promise<SinkUnderTest> {
  const other: OtherSide = { rows: [], dead: new Map(), marks: new Map() };
  const sinks: FakeSink[] = [];
  return Promise.resolve({
    start: () => {
      sinks.push(new FakeSink(other));
      return sinks.at(-1)!;
    },
    values: () => Promise.resolve(other.rows.map(({ value }) => value)),
    refuseBad: () => {
      for (const sink of sinks) sink.refuses = (value) => value === "bad";
      return Promise.resolve();
    },
    refuseAll: () => {
      for (const sink of sinks) sink.refusal = "closed for maintenance";
      return Promise.resolve(() => {
        for (const sink of sinks) sink.refusal = undefined;
        return Promise.resolve();
      });
    },
    goBack: (seq) => {
      for (const source of other.marks.keys()) other.marks.set(source, seq);
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

sinkContract("the fake sink", inMemory);
for (
  const [name, makeStore] of [
    ["the fake store", fakeUnderTest],
    ["PostgreSQL", postgresUnderTest],
    ["SQLite", sqliteUnderTest],
    ["the simulated store", simulatedUnderTest],
  ] as const
) {
  sinkContract(`the sink over ${name}`, () => overStore(makeStore));
}
