import assert from "node:assert/strict";
import fc from "fast-check";
import {
  durationMs,
  formatDuration,
  formatSize,
  InvalidValue,
  sizeBytes,
} from "../../src/config/parsers.ts";

const anyDuration = durationMs(0, Number.MAX_SAFE_INTEGER);

const anySize = sizeBytes(0, Number.MAX_SAFE_INTEGER);

Deno.test("durations are read in every form that the contract and Go allow", () => {
  for (
    const [text, ms] of [
      ["250ms", 250],
      ["2s", 2000],
      ["5m", 300_000],
      ["1h", 3_600_000],
      ["30d", 2_592_000_000],
      ["1.5s", 1500],
      [
        "1m30s",
        90_000,
      ],
      ["1h2m3.5s4ms", 3_723_504],
      ["30", 30_000],
      ["0s", 0],
      ["1.1s", 1100],
    ] as const
  ) assert.equal(anyDuration(text), ms, text);
  for (
    const text of ["", "s", "1.5", "-1s", "1 s", "1w", "2S", "1s2", "1e3s", ".5s", "+1s", "1us"]
  ) {
    assert.throws(() => anyDuration(text), InvalidValue, text);
  }
  assert.throws(() => durationMs(1, 60_000)("2m"), /use 1ms to 1m$/);
});

Deno.test("sizes are read in every form that the contract allows", () => {
  for (
    const [text, bytes] of [
      ["64KiB", 65_536],
      ["1GiB", 2 ** 30],
      ["1MB", 1_000_000],
      ["123", 123],
      ["1.5kib", 1536],
      [
        "2 MiB",
        2 ** 21,
      ],
      ["7B", 7],
    ] as const
  ) assert.equal(anySize(text), bytes, text);
  for (const text of ["", "64K", "KiB", "-1", "1e3", "1 GiB ", "0x10", "1__"]) {
    assert.throws(() => anySize(text), InvalidValue, text);
  }
});

Deno.test("every duration and size is read back from the way it is written", () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 10 ** 14 }),
      (ms) => assert.equal(anyDuration(formatDuration(ms)), ms),
    ),
  );
  fc.assert(
    fc.property(
      fc.nat({ max: 10 ** 14 }),
      (bytes) => assert.equal(anySize(formatSize(bytes)), bytes),
    ),
  );
  fc.assert(
    fc.property(
      fc.nat({ max: 10 ** 6 }),
      (kib) => assert.equal(anySize(formatSize(kib * 1024)), kib * 1024),
    ),
  );
});
