import assert from "node:assert/strict";
import { describeAudit, runAudit } from "../../src/cli/audit.ts";
import { helpText, parseCommandLine } from "../../src/cli/command_line.ts";
import type { AuditPage } from "../../src/http/handlers/audit.ts";

const NOTHING: AuditPage = {
  totals: {
    ...{ sources: 2, numbers: 30, unknown: 0, rows: 25, dead: 1 },
    ...{ retired: 2, discarded: 1, withdrawn: 1, accepted: 0 },
  },
  ...{ missing: 0, doubled: 0, strays: 0, complete: true, findings: [] },
  cannot_know: ["Something."],
  took_ms: 5,
};
const FOUND: AuditPage = {
  ...NOTHING,
  ...{ missing: 4, doubled: 1, strays: 1 },
  findings: [{
    source: "0123456789ab",
    missing: [{ first: 3, last: 5 }, { first: 9, last: 9 }],
    doubled: [{ seq: 7, times: 2 }],
    strays: [40],
  }],
};
const answering = (page: AuditPage) => () =>
  Promise.resolve({ status: 200, text: JSON.stringify(page) });

Deno.test("audit takes a write id or a range of them, and a reason", () => {
  const parse = (...args: string[]) => parseCommandLine(["audit", ...args]);
  const command = "audit";
  const id = "0123456789ab-42";
  assert.deepEqual(parse(), { command, request: { action: "show", json: false } });
  assert.deepEqual(parse("--json"), { command, request: { action: "show", json: true } });
  const accept = { action: "accept", source: "0123456789ab", first: 42, reason: "why" };
  assert.deepEqual(parse("accept", id, "--reason", "why"), {
    command,
    request: { ...accept, last: 42 },
  });
  assert.deepEqual(parse("accept", `${id}..44`, "--reason=why"), {
    command,
    request: { ...accept, last: 44 },
  });
  for (
    const args of [
      ["drop"],
      ["accept"],
      ["accept", id],
      ["accept", id, "--reason", " "],
      ["accept", id, "--reason", "x".repeat(501)],
      ["accept", `${id}..41`, "--reason", "why"],
      ["accept", `${id}..x`, "--reason", "why"],
      ["accept", `${id}..43..44`, "--reason", "why"],
      ["accept", "x", "--reason", "why"],
      ["accept", id, id, "--reason", "why"],
      ["accept", id, "--reason", "why", "--json"],
      ["--reason", "why"],
      ["--all"],
      ["--ready"],
    ]
  ) {
    assert.ok("error" in parse(...args), args.join(" "));
  }
  for (const args of [["--json"], ["--reason", "x"], ["dead-letters", "list", "--json"]]) {
    const parsed = parseCommandLine(args);
    assert.match((parsed as { error: string }).error, /belongs to audit/);
  }
  assert.match(helpText("1.2.3"), /^2 an audit found something/m);
});

Deno.test("what is clean ends with 0, what is found with 2, as text and as JSON", async () => {
  for (const json of [false, true]) {
    const request = { action: "show", json } as const;
    const clean = await runAudit(request, answering(NOTHING));
    assert.deepEqual([clean.ok, clean.exitCode], [true, undefined]);
    const found = await runAudit(request, answering(FOUND));
    assert.deepEqual([found.ok, found.exitCode], [true, 2]);
    const cut = await runAudit(request, answering({ ...NOTHING, complete: false }));
    assert.equal(cut.exitCode, 2);
  }
});

Deno.test("the page names each finding by its write id, and what it cannot know", () => {
  const lines = describeAudit(FOUND).split("\n");
  assert.equal(
    lines[0],
    "30 numbers of 2 sources: 4 missing, 1 doubled, 1 without a mark",
  );
  for (
    const line of [
      "  missing  0123456789ab-3..5  (3)",
      "  missing  0123456789ab-9",
      "  doubled  0123456789ab-7  (2 times)",
      "  stray    0123456789ab-40  (no mark accounts for it)",
      "- Something.",
    ]
  ) {
    assert.ok(lines.includes(line), line);
  }
  assert.match(
    describeAudit({ ...FOUND, complete: false }),
    /: at least 4 missing[^]*There is more/,
  );
});

Deno.test("a refusal of the instance is a failure, with its reason", async () => {
  const text = JSON.stringify({ type: "nothing-missing", detail: "No number is missing." });
  const request = { action: "accept", source: "0123456789ab", first: 1, last: 1, reason: "x" };
  const { ok, message } = await runAudit(
    { ...request, action: "accept" },
    () => Promise.resolve({ status: 404, text }),
  );
  assert.deepEqual([ok, message], [false, "dsproxy: No number is missing."]);
});
