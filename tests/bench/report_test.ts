import assert from "node:assert/strict";
import type { Figure, Result } from "../../bench/figures.ts";
import { draw } from "../../bench/report.ts";
import { saveResult } from "../../bench/result.ts";
import { BEGIN, between, END, isMet, sectionOf } from "../../bench/tables.ts";

const ratio: Figure = {
  name: "durable",
  unit: "×",
  of: "floor",
  rounds: [0.4, 0.6, 0.5],
  target: { atLeast: 0.45 },
};
const point = (at: string, value: number): Figure => ({
  name: `reads at ${at}`,
  unit: "×",
  of: "itself",
  rounds: [value],
  plot: { chart: "Reads by rows", line: "this service", at },
});

const result: Result = {
  group: "writes",
  date: "2026-01-02T03:04:05Z",
  commit: "abc",
  cores: 2,
  versions: { deno: "2.9.6" },
  seconds: 4,
  tookSeconds: 300,
  arguments: [],
  figures: [ratio, point("1k", 1), point("1M", 0.9)],
  raw: [],
};

Deno.test("a section says where it was measured, and has a row for each figure", () => {
  const lines = sectionOf(result, ["writes"], "charts").split("\n");
  assert.equal(lines[0], "### writes");
  assert.equal(
    lines[2],
    "2026-01-02, commit abc, 2 cores, deno 2.9.6; 3 rounds, 4 s a load, 5 min in all.",
  );
  assert.ok(lines.includes("| durable | 0.50 × | 0.40..0.60 | floor | ≥ 0.45 ✓ |"));
  assert.ok(lines.includes("| reads at 1M | 0.90 × | 0.90..0.90 | itself |  |"));
  assert.ok(lines.includes("![writes](charts/writes.svg)"));
});

Deno.test("a target is met by the median, whatever the worst round was", () => {
  assert.ok(isMet(ratio));
  assert.ok(!isMet({ ...ratio, target: { atLeast: 0.55 } }));
  assert.ok(!isMet({ ...ratio, target: { atMost: 0.45 } }));
});

Deno.test("a table replaces what is between its markers, and nothing else", () => {
  const document = `before\n${BEGIN}\nold\n${END}\nafter\n`;
  assert.equal(between(document, "new\n"), `before\n${BEGIN}\n\nnew\n\n${END}\nafter\n`);
  assert.throws(() => between("no markers", "new"), /The document needs/);
});

Deno.test("figures are drawn as bars, those with a place as lines", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await saveResult(folder, result);
    assert.deepEqual(await draw(folder, [result]), [["writes", "writes-reads-by-rows"]]);
    const [bars, lines] = await Promise.all(
      ["writes", "writes-reads-by-rows"].map((name) => Deno.readTextFile(`${folder}/${name}.svg`)),
    );
    assert.match(bars!, /^<svg.*durable/s);
    assert.match(lines!, /^<svg.*this service/s);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
