import assert from "node:assert/strict";
import { MEMORY_BUDGET, PROMISED_RESIDENT_BYTES, type Share } from "../src/memory_budget.ts";

const MIB = 1024 * 1024;
const shares: [string, Share][] = Object.entries(MEMORY_BUDGET);

Deno.test("the shares of all parts together are within what is promised", () => {
  const resident = shares.reduce((sum, [, share]) => sum + share.bytes * share.residentPerByte, 0);
  assert.ok(resident <= PROMISED_RESIDENT_BYTES, `${resident} bytes`);
});

Deno.test("docs/limits.md names every share, as large as it is, and no other", async () => {
  const text = await Deno.readTextFile(new URL("../docs/limits.md", import.meta.url));
  const section = /\n## Memory\n([^]*?)\n## /.exec(text)?.[1] ?? "";
  const rows = [...section.matchAll(/^\| `(\w+)` \| (\d+) MiB \| (\d+) \| (.*) \|$/gm)]
    .map(([, name, mib, residentPerByte, reason]) => [
      name,
      { bytes: Number(mib) * MIB, residentPerByte: Number(residentPerByte), reason },
    ]);
  assert.deepEqual(rows, shares);
});
