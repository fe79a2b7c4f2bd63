/** Looks for `dsproxy doctor` at what the system lets a process of this user have. */
import process from "node:process";
import { MEMORY_BUDGET, PROMISED_RESIDENT_BYTES } from "../../memory_budget.ts";
import type { Remark } from "../../ports/remark.ts";
import { inBytes } from "./wording.ts";

/** The journal has about 256 files open, and each client a connection. */
const WANTED_FILES = 1_024;
const LOOKED_FOR_FILES = 4_096;
/** What is larger is no limit, but how the system says that there is none. */
const NO_LIMIT_BYTES = 2 ** 50;

export function examineProcess(): readonly Remark[] {
  return [openFiles(), memory()];
}

/** The limit cannot be read with the permissions of this program, so it is tried. */
function openFiles(): Remark {
  const topic = "open files";
  const files: Deno.FsFile[] = [];
  const path = Deno.execPath();
  try {
    while (files.length < LOOKED_FOR_FILES) files.push(Deno.openSync(path));
  } catch {
    // This is the limit.
  } finally {
    for (const file of files) file.close();
  }
  const count = files.length === LOOKED_FOR_FILES ? "at least " : "";
  const found = `${count}${files.length} files may be open, as this command is run`;
  if (files.length >= WANTED_FILES) return { topic, grade: "ok", found };
  return {
    topic,
    grade: "risk",
    found: `${found}: fewer than ${WANTED_FILES} are soon used up by connections`,
    advice: "Raise the limit where the service is started: LimitNOFILE=, ulimit -n, or ulimits.",
  };
}

/** A later runtime knows it than the oldest that the binary may have been compiled with. */
function memory(): Remark {
  const topic = "memory";
  const limit = (process as { constrainedMemory?: () => number }).constrainedMemory?.() ?? 0;
  const wanted = inBytes(PROMISED_RESIDENT_BYTES);
  if (limit <= 0 || limit > NO_LIMIT_BYTES) {
    return { topic, grade: "ok", found: `no limit is seen; the service stays within ${wanted}` };
  }
  const found = `the container may have ${inBytes(limit)}; the service stays within ${wanted}`;
  if (limit >= PROMISED_RESIDENT_BYTES) return { topic, grade: "ok", found };
  const least = MEMORY_BUDGET.program.bytes;
  return {
    topic,
    grade: limit < least ? "problem" : "risk",
    found: `${found}: under load it may be killed`,
    advice: "Raise the limit, or lower CACHE_LOCAL_MAX and MAX_BODY_BYTES (docs/limits.md).",
  };
}
