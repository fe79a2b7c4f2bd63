/**
 * `--check-config` asks each configured part for all that the service will do, and nothing of it
 * stays.
 */
import type { Config } from "../config/config.ts";
import { denoNeighbours } from "../disk/neighbours.ts";
import { dataDirChecks } from "./data_dir_check.ts";
import { reasonOf } from "../errors.ts";
import { checkBroker, checkCache, checkStore, type Findings } from "../parts.ts";

export type Check = readonly [part: string, look: () => Promise<Findings>];

/**
 * @returns `ok` false when something would not work; `message` has a line for each thing that was
 * found
 */
export async function checkConfiguration(
  config: Config,
): Promise<{ ok: boolean; message: string }> {
  const lines: string[] = [];
  let ok = true;
  for (const [part, look] of checksOf(config)) {
    const { problems, notes, found = "will do" } = await look();
    if (problems.length === 0) lines.push(`ok      ${part}: ${found}`);
    lines.push(...problems.map((problem) => `failed  ${part}: ${problem}`));
    lines.push(...notes.map((note) => `note    ${part}: ${note}`));
    ok &&= problems.length === 0;
  }
  return { ok, message: lines.join("\n") };
}

/** Returns each part with what looks at it, which never rejects. */
export function checksOf(config: Config): Check[] {
  const { dataDir, journal, store, cache, queue, role, adopt } = config;
  const local = dataDirChecks({ dataDir, journalDir: journal.dir, storeKind: store.kind });
  const checks: Check[] = [
    // A worker keeps nothing on disk.
    ...(role === "worker" ? [] : local).map((
      [part, look],
    ): Check => [part, async () => ({ problems: [], notes: [], found: await look() })]),
    ...(adopt === undefined
      ? []
      : [["journals of other instances", () => checkAdoption(adopt.from)] as const]),
    [`store (${store.kind})`, () => checkStore(config)],
    [`cache (${cache.kind})`, () => checkCache(config)],
    ...(queue.kind === "journal"
      ? []
      : [[`broker (${queue.kind})`, () => checkBroker(config)] as const]),
  ];
  return checks.map(([part, look]) => [part, () => look().catch(failed)] as const);
}

async function checkAdoption(from: string): Promise<Findings> {
  const { length } = await denoNeighbours.directories(from);
  return { problems: [], notes: [], found: `${from} has ${length} directories` };
}

function failed(error: unknown): Findings {
  return { problems: [reasonOf(error)], notes: [] };
}
