/**
 * Mistakes in adopting what an instance has left, each put into a port on purpose as those in
 * `bugs.ts` are.
 */
import type { AdoptionOptions, AdoptionParts } from "../../src/adopting/adoption.ts";
import type { Entry } from "../../src/domain.ts";
import type { JournalFileSystem } from "../../src/disk/file_system.ts";
import { FORWARDED_FILE } from "../../src/forwarding/forwarded_runs.ts";
import type { Segment } from "../../src/journal/segment.ts";
import { survey } from "../../src/journal/survey.ts";
import type { WithinTerm } from "../../src/ports/store.ts";
import type { Term } from "../../src/ports/terms.ts";
import type { Bug } from "./bugs.ts";
import { Volume } from "./volume.ts";

export function adoptsNaively(bug: Bug | undefined): boolean {
  return bug === "adopted-torn-record";
}

/** Takes the last record of each journal that nobody has for one, whole or not. */
export class NaiveAdoption {
  constructor(_options: AdoptionOptions, private readonly parts: AdoptionParts) {}

  async run(term: Term): Promise<void> {
    const { fs, neighbours, store } = this.parts;
    const within = store.within(term);
    for (const path of await neighbours.directories(Volume.ROOT)) {
      const dir = `${path}/journal`;
      if (await neighbours.isLocked(`${dir}/lock`)) continue;
      const { segments, damage } = await survey(fs, dir);
      const torn = damage.find(({ kind }) => kind === "torn-tail");
      const segment = segments.find(({ name }) => name === torn?.segment);
      const entry = segment && await tornRecord(segment, torn!.offset, torn!.bytes);
      if (entry === undefined) continue;
      await within.open(segment!.source);
      await within.put(segment!.source, [entry], 0);
    }
  }
}

const LENGTH_AT = 4;
const SEQ_AT = 8;
const USER_ID_LENGTH_AT = 33;
const TEXT_AT = 35;

async function tornRecord(
  segment: Segment,
  offset: number,
  length: number,
): Promise<Entry | undefined> {
  const bytes = await segment.readBytes(offset, length);
  const view = new DataView(bytes.buffer);
  if (bytes.length <= TEXT_AT || view.getUint16(USER_ID_LENGTH_AT) === 0) return undefined;
  const valueAt = TEXT_AT + view.getUint16(USER_ID_LENGTH_AT);
  const text = new TextDecoder();
  return {
    userId: text.decode(bytes.subarray(TEXT_AT, valueAt)),
    value: text.decode(bytes.subarray(valueAt, view.getUint32(LENGTH_AT) + SEQ_AT)),
    ts: view.getFloat64(SEQ_AT + 16),
    acceptedMs: view.getFloat64(SEQ_AT + 8),
    run: segment.run,
    seq: view.getFloat64(SEQ_AT),
  };
}

/** What a broker may have is put there directly, as if there had never been one. */
export function buggyVolume(files: JournalFileSystem, bug: Bug | undefined): JournalFileSystem {
  if (bug !== "adopted-by-another-way") return files;
  return {
    ...files,
    list: async (path) => (await files.list(path)).filter((name) => name !== FORWARDED_FILE),
  };
}

export function buggyWithin(
  within: WithinTerm,
  volume: Volume,
  bug: Bug | undefined,
): WithinTerm {
  switch (bug) {
    case "adoption-that-removes":
      return {
        ...within,
        put: async (...what) => {
          const result = await within.put(...what);
          await removeSegments(volume);
          return result;
        },
        fold: async (...what) => {
          const result = await within.fold(...what);
          await removeSegments(volume);
          return result;
        },
      };
    default:
      return within;
  }
}

/** Cleans up where nobody is at work. */
async function removeSegments(volume: Volume): Promise<void> {
  for (const path of await volume.directories(Volume.ROOT)) {
    const dir = `${path}/journal`;
    if (await volume.isLocked(`${dir}/lock`)) continue;
    for (const name of await volume.files.list(dir)) {
      if (name.endsWith(".seg")) await volume.files.remove(`${dir}/${name}`);
    }
  }
}
