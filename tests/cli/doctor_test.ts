import assert from "node:assert/strict";
import { examineExposure } from "../../src/cli/doctor/exposure.ts";
import { inBytes } from "../../src/cli/doctor/wording.ts";
import { clockRemark } from "../../src/ports/remark.ts";

function grades(host: string, keys: number): string[] {
  const keyHashes = Array.from({ length: keys }, () => "0".repeat(64));
  const config = { listen: { host, port: 8080 }, admin: { socketPath: "admin.sock", keyHashes } };
  return examineExposure(config).map(({ topic, grade }) => `${topic} ${grade}`);
}

Deno.test("an API that a network reaches is a risk, and keys that are sent over it are noted", () => {
  for (const host of ["127.0.0.1", "::1", "localhost"]) {
    assert.deepEqual(grades(host, 1), ["api ok", "admin ok"], host);
  }
  for (const host of ["0.0.0.0", "::", "10.1.2.3"]) {
    assert.deepEqual(grades(host, 0), ["api risk", "admin ok"], host);
    assert.deepEqual(grades(host, 2), ["api risk", "admin note"], host);
  }
});

Deno.test("clocks may differ by a second, and by what the question took", () => {
  const look = { beforeMs: 10_000, afterMs: 10_400 };
  const of = (theirMs: number) => clockRemark(theirMs, look);
  assert.equal(of(10_200).grade, "ok");
  assert.equal(of(11_300).grade, "ok");
  assert.deepEqual([of(11_500).grade, of(8_900).grade], ["risk", "risk"]);
  assert.match(of(8_900).found, /1300 ms behind/);
  assert.match(of(11_500).found, /1300 ms ahead of/);
});

Deno.test("sizes are written for people", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 2 ** 30, 3.5 * 2 ** 40].map(inBytes), [
    "0 bytes",
    "1023 bytes",
    "1 KiB",
    "1.5 KiB",
    "1 GiB",
    "3.5 TiB",
  ]);
});
