import assert from "node:assert/strict";
import { StoreRefusesError, StoreUnavailableError } from "../../src/errors.ts";
import { FlushOutage } from "../../src/telemetry/flush_outage.ts";
import { Log } from "../../src/telemetry/log.ts";
import { RefusedRowsLog } from "../../src/telemetry/refused_rows_log.ts";
import { FakeClock } from "../support/fake_clock.ts";

const AWAY = new StoreUnavailableError("connection refused");

function setUp() {
  const clock = new FakeClock();
  const lines: Record<string, unknown>[] = [];
  const log = new Log("info", "json", (line) => lines.push(JSON.parse(line)));
  return { clock, lines, log, outage: new FlushOutage({ log, clock, meanwhile: "it waits" }) };
}

Deno.test("an outage is told when it begins, and when it is over with how long it took", async () => {
  const { clock, lines, outage } = setUp();
  outage.succeeded({});
  for (let i = 0; i < 100; i++) {
    outage.failed(AWAY, { waiting: i });
    await clock.advance(1_000);
  }
  outage.succeeded({ waiting: 7 });
  outage.succeeded({ waiting: 0 });
  assert.deepEqual(lines.map(({ event, level }) => [event, level]), [
    ["store-away", "warn"],
    ["store-back", "info"],
  ]);
  const { lastedMs, failures, waiting } = lines[1]!;
  assert.deepEqual([lastedMs, failures, waiting], [100_000, 100, 7]);
});

Deno.test("an outage that becomes a refusal is told as that", () => {
  const { lines, outage } = setUp();
  outage.failed(AWAY, {});
  outage.failed(new StoreRefusesError("42501", "permission denied"), {});
  assert.deepEqual(lines.map(({ event, level }) => [event, level]), [
    ["store-away", "warn"],
    ["store-refuses", "error"],
  ]);
});

Deno.test("a store that comes and goes all the time is told now and then, and counted", async () => {
  const { clock, lines, outage } = setUp();
  for (let i = 0; i < 1_000; i++) {
    outage.failed(AWAY, {});
    await clock.advance(50);
    outage.succeeded({});
    await clock.advance(50);
  }
  assert.ok(lines.length <= 22, String(lines.length));
  assert.equal(lines[2]!.heldBack, 99);
});

Deno.test("an outage that begins soon after another one is told as soon as it may", async () => {
  const { clock, lines, outage } = setUp();
  outage.failed(AWAY, {});
  outage.succeeded({});
  for (let i = 0; i < 20; i++) {
    outage.failed(AWAY, {});
    await clock.advance(1_000);
  }
  outage.succeeded({});
  assert.deepEqual(lines.map(({ event }) => event), [
    "store-away",
    "store-back",
    "store-away",
    "store-back",
  ]);
  assert.equal(lines[3]!.lastedMs, 20_000);
});

Deno.test("rows that are refused all the time are summed, by the code", async () => {
  const { clock, lines, log } = setUp();
  const refused = new RefusedRowsLog(log, clock);
  for (let i = 0; i < 100; i++) {
    const rows = [1, 2, 3].map((seq) => ({ seq, code: "23514", message: "secret" }));
    if (i === 50) rows.push({ seq: 4, code: "22P02", message: "secret" });
    refused.note(rows, (seq) => ({ seq }));
    await clock.advance(200);
  }
  assert.deepEqual(lines.map(({ code, rows }) => [code, rows]), [
    ["23514", 3],
    ["23514", 150],
    ["22P02", 1],
  ]);
  assert.ok(!JSON.stringify(lines).includes("secret"));
});
