/** Keeps what a group found, and where. */
import { fileURLToPath } from "node:url";
import { output } from "../tests/support/services.ts";
import { installed, POSTGRES, REDIS, WRK } from "../tests/support/installed.ts";
import type { Result } from "./figures.ts";
import { OHA, ohaIfInstalled } from "./load/oha.ts";

export const RESULTS = fileURLToPath(new URL("results", import.meta.url));

/** Returns where and on what it was measured. @param checkout of the service */
export async function surroundings(
  checkout: string,
): Promise<Pick<Result, "date" | "commit" | "cores" | "versions">> {
  const git = (...args: string[]) => output("git", ["-C", checkout, ...args]);
  const isChanged =
    (await git("status", "--porcelain", "--", "src", "main.ts", "deno.json")) !== "";
  const versionOf = async (command: string, flag = "--version") => {
    const result = await new Deno.Command(command, { args: [flag] }).output();
    const text = new TextDecoder().decode(result.stdout) + new TextDecoder().decode(result.stderr);
    return /\d+\.\d+(\.\d+)?/.exec(text)?.[0] ?? "unknown";
  };
  const oha = await ohaIfInstalled();
  return {
    date: new Date().toISOString(),
    commit: (await git("rev-parse", "--short=12", "HEAD")).trim() + (isChanged ? " (changed)" : ""),
    cores: navigator.hardwareConcurrency,
    versions: {
      deno: Deno.version.deno,
      v8: Deno.version.v8,
      postgres: await versionOf(await installed(POSTGRES)),
      redis: await versionOf(await installed(REDIS)),
      wrk: await versionOf(await installed(WRK), "-v"),
      ...(oha === undefined ? {} : { [OHA.name]: await versionOf(oha) }),
    },
  };
}

export async function saveResult(folder: string, result: Result): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  // A line a round list: a change of one figure is a change of one line.
  const text = JSON.stringify(result, null, 2)
    .replaceAll(
      /\[\s+([-0-9.e,\s]+?)\s+\]/g,
      (_, numbers: string) =>
        `[${numbers.split(/\s*,\s*/).map((number) => +Number(number).toPrecision(5)).join(", ")}]`,
    );
  await Deno.writeTextFile(`${folder}/${result.group}.json`, text + "\n");
}

/** Returns the kept results in the order of `groups`, without what was never measured. */
export async function readResults(folder: string, groups: readonly string[]): Promise<Result[]> {
  const results: Result[] = [];
  for (const group of groups) {
    try {
      results.push(JSON.parse(await Deno.readTextFile(`${folder}/${group}.json`)) as Result);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return results;
}
