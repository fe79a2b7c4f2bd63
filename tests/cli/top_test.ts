import assert from "node:assert/strict";
import { parseCommandLine } from "../../src/cli/command_line.ts";
import { runTop, topOnce } from "../../src/cli/top.ts";
import { drawFrame } from "../../src/cli/top_frame.ts";
import type { Snapshot } from "../../src/dashboard/snapshot.ts";

const NOTHING = { p50Ms: null, p99Ms: null };
const WELL = {
  level: "well",
  code: "well",
  text: "All is well.",
  sinceMs: 0,
  advice: null,
} as const;
const AWAY = {
  level: "problem",
  code: "store-away",
  text: "PostgreSQL has not answered for 12 s; 3,402 writes wait safely in the journal.",
  sinceMs: 0,
  advice: "Bring PostgreSQL back.",
} as const;

const SNAPSHOT: Snapshot = {
  atMs: 60_000,
  instance: {
    ...{ name: "me/1", role: "all", version: "1.2.3", startedMs: 0, phase: "serving" },
    ...{ store: "postgres", cache: "redis", queue: "journal", isPaused: false, isDrained: false },
  },
  verdict: WELL,
  findings: [WELL],
  requests: [
    { route: "/write", perSecond: 1_234.4, failedPerSecond: 0.5, p50Ms: 1.25, p99Ms: 312 },
    { route: "/read", perSecond: 0, failedPerSecond: 0, p50Ms: null, p99Ms: null },
  ],
  writesPerSecond: 1_234.4,
  readsPerSecond: 20,
  readsBySource: { pending: 20, store: 0 },
  queue: { depth: 3_402, oldestAgeSeconds: 14.2, secondsUntilFull: 2_100 },
  journal: { bytes: 5 * 2 ** 20, maxBytes: 2 ** 30, retainedBytes: 2 ** 20, fsync: NOTHING },
  flush: { rowsPerSecond: 0, failedRowsPerSecond: 50, duration: NOTHING, meanRows: null },
  breakers: { "store": "open", "store-reads": "closed" },
  broker: null,
  leader: { leads: false, name: "other/2", sinceMs: 0 },
  deadLetters: { count: 3, reasons: [{ code: "22001", count: 3 }] },
  audit: { checked: 12_000, lost: 0, doubled: 0, atMs: 0 },
  instances: [],
};

const PAPER = { columns: 100, rows: 50, hasColour: false };
const answering = (snapshot: Snapshot) => () =>
  Promise.resolve({ status: 200, text: JSON.stringify({ snapshot }) });

Deno.test("top takes --once, which belongs to nothing else", () => {
  assert.deepEqual(parseCommandLine(["top"]), { command: "top", request: { once: false } });
  assert.deepEqual(parseCommandLine(["top", "--once"]), {
    command: "top",
    request: { once: true },
  });
  for (
    const args of [["top", "x"], ["--once"], ["audit", "--once"], ["top", "--json"], [
      "top",
      "--all",
    ]]
  ) {
    assert.ok("error" in parseCommandLine(args), args.join(" "));
  }
});

Deno.test("a picture says what is wrong first, and then the numbers", () => {
  const text = drawFrame({ ...SNAPSHOT, verdict: AWAY, findings: [AWAY] }, 61_000, PAPER);
  for (
    const line of [
      /^dsproxy 1\.2\.3 {2}me\/1 {2}all, serving for 60 s$/m,
      /^\[!!\] PostgreSQL has not answered for 12 s; 3,402 writes wait/m,
      /^\/write +1,234 +1\.[23] +312 +0\.5$/m,
      /^reads +20 a second \(pending 20\)$/m,
      /^queue +3,402 waiting, the oldest for 14 s, full in 35 min at this rate$/m,
      /^journal +5\.0 MiB of 1\.0 GiB \(1\.0 MiB kept\); fsync p50 - ms, p99 - ms$/m,
      /^breakers +store open, store-reads closed$/m,
      /^leader +other\/2, for 61 s$/m,
      /^dead letters +3 \(22001 3\)$/m,
      /^audit +12,000 checked, 0 lost, 0 doubled$/m,
    ]
  ) assert.match(text, line);
  assert.doesNotMatch(text.replaceAll("\n", ""), /\p{Cc}|\/read|instances/u);
});

Deno.test("what a terminal would obey is shown and not sent", () => {
  const evil = "\x1b]0;owned\x07\u202etxt\r\n\u009b2J";
  const other = {
    ...{ name: evil, role: "api", leads: true, atMs: 0, level: "problem", text: evil } as const,
    ...{ writesPerSecond: 0, readsPerSecond: 0, queueDepth: 0, oldestAgeSeconds: 0 },
  };
  const verdict = { ...AWAY, text: evil, advice: evil };
  const text = drawFrame(
    {
      ...SNAPSHOT,
      ...{ verdict, findings: [verdict], instances: [other, other] },
      instance: { ...SNAPSHOT.instance, name: evil },
      leader: { leads: false, name: evil, sinceMs: 0 },
      deadLetters: { count: 1, reasons: [{ code: evil, count: 1 }] },
    },
    60_000,
    { ...PAPER, hasColour: true },
  );
  assert.match(text, /\\u\{1b\}\]0;owned\\u\{7\}\\u\{202e\}txt/);
  let rest = text;
  for (const own of ["\n", "\x1b[31m", "\x1b[1m", "\x1b[0m"]) rest = rest.replaceAll(own, "");
  assert.doesNotMatch(rest, /[\p{Cc}\p{Cf}]/u);
});

Deno.test("lines fit the terminal, in both directions", () => {
  const small = { columns: 40, rows: 8, hasColour: false };
  const lines = drawFrame({ ...SNAPSHOT, findings: [AWAY], verdict: AWAY }, 60_000, small)
    .split("\n");
  assert.equal(lines.length, 8);
  for (const line of lines) assert.ok(line.length <= 40, line);
});

Deno.test("a terminal is redrawn until the end, and is then as it was", async () => {
  const end = new AbortController();
  const written: string[] = [];
  const screen = {
    isTerminal: true,
    size: () => ({ columns: 80, rows: 24 }),
    write: (text: string) => {
      written.push(text);
      if (written.length === 2) end.abort();
    },
  };
  await runTop(answering(SNAPSHOT), screen, end.signal);
  assert.equal(written.length, 3);
  assert.equal(written[0], "\x1b[?1049h\x1b[?25l");
  assert.ok(written[1]!.startsWith("\x1b[H") && written[1]!.endsWith("\x1b[J"));
  assert.match(written[1]!, /\[ok\] All is well\./);
  assert.equal(written[2], "\x1b[?25h\x1b[?1049l");
});

Deno.test("an instance that does not answer is told, and asked again where that is wanted", async () => {
  const refusing = () => Promise.reject(new Error("no answer from \x1b[2J"));
  const { ok, message } = await topOnce(refusing);
  assert.deepEqual([ok, message], [false, "dsproxy: no answer from \\u{1b}[2J"]);
  const end = new AbortController();
  const written: string[] = [];
  let asked = 0;
  await runTop(
    () => ++asked === 1 ? refusing() : answering(SNAPSHOT)(),
    {
      isTerminal: false,
      size: () => assert.fail("a file has no size"),
      write: (text) => {
        written.push(text);
        if (written.length === 2) end.abort();
      },
    },
    end.signal,
  );
  assert.match(written[0]!, /^dsproxy: no answer/);
  assert.match(written[1]!, /All is well/);
  assert.ok(!written[1]!.includes("\x1b"));
});
