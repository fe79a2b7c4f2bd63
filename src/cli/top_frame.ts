/** Draws what an instance says of itself as lines of text, for a terminal or a file. */
import type { InstanceSummary, Percentiles, Snapshot, Verdict } from "../dashboard/snapshot.ts";
import { bytes, count, duration } from "../dashboard/wording.ts";

export interface Paper {
  readonly columns: number;
  readonly rows: number;
  readonly hasColour: boolean;
}

const COLOURS: Readonly<Record<Verdict["level"], string>> = {
  well: "\x1b[32m",
  warning: "\x1b[33m",
  problem: "\x1b[31m",
};
const BOLD = "\x1b[1m";
const PLAIN = "\x1b[0m";
/** Without colour these say how bad it is. */
const SIGNS: Readonly<Record<Verdict["level"], string>> = {
  well: "[ok]",
  warning: "[!]",
  problem: "[!!]",
};
const NOTHING = "-";

export function drawFrame(snapshot: Snapshot, nowMs: number, paper: Paper): string {
  const lines = [
    ...headOf(snapshot, nowMs, paper),
    "",
    ...routesOf(snapshot),
    "",
    ...pairsOf(snapshot, nowMs).map(([name, value]) => `${name.padEnd(14)} ${value}`),
    ...instancesOf(snapshot.instances),
  ];
  const shown = lines.slice(0, Math.max(1, paper.rows));
  return shown.map((line) => cut(line, paper.columns)).join("\n");
}

/** What is said comes from instances and from Redis: a terminal would obey some of what it can hold. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (it) => `\\u{${it.codePointAt(0)!.toString(16)}}`,
  );
}

function headOf({ verdict, findings, instance, atMs }: Snapshot, nowMs: number, paper: Paper) {
  const { name, role, version, startedMs, phase, store, cache, queue } = instance;
  const old = nowMs - atMs > 5_000 ? `, as of ${duration(nowMs - atMs)} ago` : "";
  const lines = [
    printable(
      `dsproxy ${version}  ${name}  ${role}, ${phase} for ${duration(atMs - startedMs)}${old}`,
    ),
    printable(`store ${store}, cache ${cache}, queue ${queue}`),
    "",
  ];
  for (const { level, text, advice } of [verdict, ...findings.slice(1)]) {
    const sentence = [text, ...advice === null ? [] : [advice]].join(" ");
    const wrapped = wrap(printable(`${SIGNS[level]} ${sentence}`), paper.columns);
    const [before, after] = paper.hasColour ? [COLOURS[level] + BOLD, PLAIN] : ["", ""];
    lines.push(...wrapped.map((line) => `${before}${line}${after}`));
  }
  return lines;
}

function routesOf({ requests }: Snapshot): string[] {
  const header = row("route", "asked/s", "p50 ms", "p99 ms", "failed/s");
  const asked = requests.filter(({ perSecond, p99Ms }) => perSecond > 0 || p99Ms !== null);
  if (asked.length === 0) return ["No request in the last seconds."];
  return [
    header,
    ...asked.map(({ route, perSecond, failedPerSecond, ...times }) =>
      row(
        printable(route),
        rate(perSecond),
        msOf(times.p50Ms),
        msOf(times.p99Ms),
        rate(failedPerSecond),
      )
    ),
  ];
}

function row(route: string, ...columns: readonly string[]): string {
  return route.padEnd(34) + columns.map((column) => column.padStart(12)).join("");
}

function pairsOf(snapshot: Snapshot, nowMs: number): [string, string][] {
  const { queue, journal, flush, breakers, broker, leader, deadLetters, audit, instance } =
    snapshot;
  const { secondsUntilFull: left } = queue;
  const full = left === null ? "" : `, full in ${duration(left * 1000)} at this rate`;
  const of = journal.maxBytes === 0 ? "" : ` of ${bytes(journal.maxBytes)}`;
  return [
    ["writes", `${rate(snapshot.writesPerSecond)} a second`],
    ["reads", `${rate(snapshot.readsPerSecond)} a second${tiersOf(snapshot)}`],
    [
      "queue",
      `${count(queue.depth)} waiting, the oldest for ${seconds(queue.oldestAgeSeconds)}` +
      `${instance.isPaused ? ", paused" : ""}${full}`,
    ],
    [
      "journal",
      `${bytes(journal.bytes)}${of} (${bytes(journal.retainedBytes)} kept); ` +
      `fsync ${times(journal.fsync)}`,
    ],
    [
      "flushes",
      `${rate(flush.rowsPerSecond)} rows a second, ${rate(flush.failedRowsPerSecond)} ` +
      `failed; ${flush.meanRows === null ? NOTHING : rate(flush.meanRows)} rows each; ` +
      times(flush.duration),
    ],
    ["breakers", Object.entries(breakers).map(([name, state]) => `${name} ${state}`).join(", ")],
    ...broker === null ? [] : [[
      "broker",
      `${broker.kind}: ${rate(broker.confirmedPerSecond)} confirmed, ` +
      `${rate(broker.failedPerSecond)} failed, ${rate(broker.appliedPerSecond)} applied a second`,
    ] as [string, string]],
    ["leader", leaderOf(leader, nowMs)],
    ["dead letters", deadLettersOf(deadLetters)],
    [
      "audit",
      audit === null
        ? "nothing checked here"
        : `${count(audit.checked)} checked, ${count(audit.lost)} lost, ${
          count(audit.doubled)
        } doubled`,
    ],
  ];
}

function tiersOf({ readsBySource }: Snapshot): string {
  const tiers = Object.entries(readsBySource).filter(([, perSecond]) => perSecond > 0)
    .map(([tier, perSecond]) => `${printable(tier)} ${rate(perSecond)}`);
  return tiers.length === 0 ? "" : ` (${tiers.join(", ")})`;
}

function leaderOf({ leads, name, sinceMs }: Snapshot["leader"], nowMs: number): string {
  if (name === null) return "nobody is known to lead";
  const since = sinceMs === null ? "" : `, for ${duration(nowMs - sinceMs)}`;
  return `${leads ? "this instance" : printable(name)}${since}`;
}

function deadLettersOf({ count: many, reasons }: Snapshot["deadLetters"]): string {
  if (many === null) return "nobody can tell";
  const why = reasons.map(({ code, count: times }) => `${printable(code)} ${count(times)}`);
  return `${count(many)}${why.length === 0 ? "" : ` (${why.join(", ")})`}`;
}

/** One instance alone has said it all above. */
function instancesOf(instances: readonly InstanceSummary[]): string[] {
  if (instances.length < 2) return [];
  return [
    "",
    `${count(instances.length)} instances`,
    ...instances.map(({ name, role, leads, level, text, ...rest }) =>
      printable(
        `${SIGNS[level].padEnd(5)}${name}  ${role}${leads ? ", leads" : ""}  ` +
          `${rate(rest.writesPerSecond)} writes, ${rate(rest.readsPerSecond)} reads a second, ` +
          `${count(rest.queueDepth)} waiting${level === "well" ? "" : `  ${text}`}`,
      )
    ),
  ];
}

function rate(perSecond: number): string {
  return perSecond >= 100 || Number.isInteger(perSecond) ? count(perSecond) : perSecond.toFixed(1);
}

function msOf(ms: number | null): string {
  return ms === null ? NOTHING : ms >= 100 ? count(ms) : ms.toFixed(1);
}

function times({ p50Ms, p99Ms }: Percentiles): string {
  return `p50 ${msOf(p50Ms)} ms, p99 ${msOf(p99Ms)} ms`;
}

function seconds(many: number): string {
  return many < 10 ? `${many.toFixed(1)} s` : duration(many * 1000);
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = `  ${word}`;
    } else line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}

/** Lines that were wrapped fit, and those alone have colours in them. */
function cut(line: string, columns: number): string {
  return line.startsWith("\x1b") ? line : line.slice(0, columns);
}
