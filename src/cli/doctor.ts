/**
 * `dsproxy doctor` writes one page of what is configured, reachable and risky, each with what to do
 * about it. It asks and measures beside a running instance, and leaves nothing behind.
 */
import type { Config } from "../config/config.ts";
import { withDeadline } from "../deadline.ts";
import { reasonOf } from "../errors.ts";
import { examineCache, examineStore, type Findings } from "../parts.ts";
import type { Grade, Remark } from "../ports/remark.ts";
import { VERSION } from "../version.ts";
import { type Check, checksOf } from "./check_configuration.ts";
import { examineDisk } from "./doctor/disk.ts";
import { examineExposure, examineInstance } from "./doctor/exposure.ts";
import { examineProcess } from "./doctor/process.ts";

export const DOCTOR_USAGE = `\
  dsproxy doctor [--json]                    ends with 0 where nothing is a problem, else with 1
`;

export interface DoctorRequest {
  readonly json: boolean;
}

/** @param operands are what follows the word */
export function parseDoctorRequest(
  operands: readonly string[],
  { json = false, reason }: { json?: boolean | undefined; reason?: string | undefined },
): DoctorRequest | { error: string } {
  if (operands.length === 0 && reason === undefined) return { json };
  return { error: `dsproxy: doctor is used so:\n${DOCTOR_USAGE}See also dsproxy --help.` };
}

interface Examination {
  readonly part: string;
  readonly look: () => Promise<readonly Remark[]>;
}

interface Finding extends Remark {
  readonly part: string;
}

/** Each part has deadlines of its own; this is for what they have none for. */
const PART_LIMIT_MS = 30_000;

export async function runDoctor(
  { json }: DoctorRequest,
  config: Config,
): Promise<{ ok: boolean; message: string; exitCode?: number }> {
  const findings: Finding[] = [];
  // One after the other, as the speed of the disk is measured.
  for (const { part, look } of examinations(config)) {
    const remarks = await withDeadline(look(), PART_LIMIT_MS, part).catch(failed);
    findings.push(...remarks.map((remark) => ({ part, ...remark })));
  }
  const ok = findings.every(({ grade }) => grade !== "problem");
  const message = json ? JSON.stringify({ ok, version: VERSION, findings }) : pageOf(findings);
  return { ok: true, message, ...(!ok && { exitCode: 1 }) };
}

function examinations(config: Config): Examination[] {
  const setUp: Readonly<Record<string, () => Promise<readonly Remark[]>>> = {
    store: () => examineStore(config),
    cache: () => examineCache(config),
  };
  const local = config.role === "worker" ? [] : [
    { part: "disk", look: () => examineDisk(config) },
  ];
  return [
    { part: "instance", look: () => examineInstance(config) },
    { part: "network", look: async () => await examineExposure(config) },
    { part: "process", look: async () => await examineProcess() },
    ...local,
    ...checksOf(config).map((check) => ({
      part: check[0],
      look: () => both(check, setUp[check[0].replace(/ \(.*/, "")]),
    })),
  ];
}

/** What `--check-config` says of a part, and how it is set up. */
async function both(
  [, check]: Check,
  setUp: () => Promise<readonly Remark[]> = () => Promise.resolve([]),
): Promise<readonly Remark[]> {
  const findings = await check();
  const checked = findings.problems.map((found): Remark => ({
    topic: "check",
    grade: "problem",
    found,
    advice: "Change what it names, then run dsproxy --check-config.",
  }));
  // How something is set up that cannot be reached is nobody's question.
  const examined = await setUp().catch((error) => checked.length > 0 ? [] : failed(error));
  const { found = "it will do" } = findings;
  const good = checked.length > 0 ? [] : [whenGood(found)];
  return [...checked, ...good, ...notesOf(findings, examined), ...examined];
}

function whenGood(found: string): Remark {
  if (!/; damage: /.test(found)) return { topic: "check", grade: "ok", found };
  const advice = "Look at the disk: what can be read around the damage is kept by the next start.";
  return { topic: "check", grade: "risk", found, advice };
}

/** What was examined is told with its grade, and not once more. */
function notesOf({ notes }: Findings, examined: readonly Remark[]): Remark[] {
  return notes
    .filter((note) => !examined.some(({ topic }) => note.includes(`${topic} is `)))
    .map((found) => ({ topic: "check", grade: "note", found }));
}

function failed(error: unknown): Remark[] {
  const advice = "Mend what keeps it from being asked, and run this again.";
  return [{ topic: "check", grade: "problem", found: reasonOf(error), advice }];
}

const GRADES: readonly Grade[] = ["problem", "risk", "note", "ok"];

/** What needs somebody comes first. */
function pageOf(findings: readonly Finding[]): string {
  const lines = GRADES.flatMap((wanted) =>
    findings.filter(({ grade }) => grade === wanted).flatMap(
      ({ part, topic, grade, found, advice }) => [
        `${grade.padEnd(8)} ${part}${topic === "check" ? "" : `, ${topic}`}: ${found}`,
        ...(advice === undefined ? [] : [`${" ".repeat(9)}→ ${advice}`]),
      ],
    )
  );
  const counts = GRADES.map((grade) => {
    const count = findings.filter((finding) => finding.grade === grade).length;
    return `${count} ${grade}${count === 1 || grade === "ok" ? "" : "s"}`;
  });
  return [...lines, "", counts.join(", ")].join("\n");
}
