/** Writes the tables of docs/benchmarks.md from the kept results. */
import type { Figure, Result, Target } from "./figures.ts";
import { digitsFor, median } from "./statistics.ts";

export const BEGIN = "<!-- results: written by deno task bench:report -->";
export const END = "<!-- end of results -->";

/** @throws Error when the markers are not there */
export function between(document: string, text: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`The document needs "${BEGIN}" and "${END}"`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${text}\n${document.slice(end)}`;
}

/** @param folder of the charts, as the document links to it */
export function sectionOf(result: Result, charts: readonly string[], folder: string): string {
  const { group, date, commit, cores, versions, figures, seconds, tookSeconds } = result;
  const rounds = figures[0]?.rounds.length ?? 0;
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `### ${group}`,
    "",
    `${date.slice(0, 10)}, commit ${commit}, ${cores} cores, ${programs.join(", ")}; ` +
    `${rounds} rounds, ${seconds} s a load, ${minutes(tookSeconds)} in all.`,
    "",
    "| figure | median | least..most | of | target |",
    "|---|---|---|---|---|",
    ...figures.map(rowOf),
    "",
    ...charts.map((name) => `![${name}](${folder}/${name}.svg)\n`),
  ].join("\n");
}

function rowOf(figure: Figure): string {
  const { name, unit, of = "", rounds, target } = figure;
  const digits = digitsFor(rounds);
  const [least, middle, most] = [Math.min(...rounds), median(rounds), Math.max(...rounds)].map((
    value,
  ) => value.toFixed(digits));
  const met = target === undefined ? "" : `${targetText(target)} ${isMet(figure) ? "✓" : "✗"}`;
  return `| ${name} | ${middle} ${unit} | ${least}..${most} | ${of} | ${met} |`;
}

function targetText({ atLeast, atMost = NaN }: Target): string {
  return atLeast === undefined ? `≤ ${Number(atMost.toFixed(2))}` : `≥ ${atLeast}`;
}

/** A target is for the median. */
export function isMet({ rounds, target = {} }: Figure): boolean {
  const { atLeast = -Infinity, atMost = Infinity } = target;
  const middle = median(rounds);
  return middle >= atLeast && middle <= atMost;
}

function minutes(seconds: number): string {
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
