/**
 * A data directory belongs to one store. This says what to do when they do not fit, and carries out
 * the command that changes it.
 */
import { type Config, storePlace } from "../config/config.ts";
import { reasonOf } from "../errors.ts";
import { forgetStore } from "../journal/checkpoint.ts";
import { denoFileSystem } from "../disk/file_system.ts";
import { lockJournal } from "../journal/place.ts";
import { verifyJournal } from "../journal/verify.ts";
import {
  changeStore,
  describeStore,
  STORE_FILE,
  type WrongStoreError,
} from "../guarding/store_binding.ts";

type Parts = Pick<Config, "dataDir" | "journal" | "store">;

/**
 * Tells who started the service with another store than its data directory belongs to what to do.
 */
export async function explainWrongStore(config: Parts, error: WrongStoreError): Promise<string> {
  const { bound } = error;
  const queued = await countQueued(config).catch((reason) =>
    `The journal cannot be read (${reasonOf(reason)})`
  );
  const configured = describeConfigured(config);
  return `${error.message}
${queued}; nothing was moved. One of the two:
- configure that store again: STORE=${bound.kind}, and what says where it is;
- or let what waits go to ${configured}: with the configuration as it is now, run once
    dsproxy --change-store`;
}

/** Carries out `--change-store`. Refuses while an instance uses the directory. */
export async function runChangeStore(config: Parts): Promise<{ ok: boolean; message: string }> {
  try {
    return { ok: true, message: await change(config) };
  } catch (error) {
    return { ok: false, message: `dsproxy: ${reasonOf(error)}` };
  }
}

async function change(config: Parts): Promise<string> {
  const { dataDir, journal, store } = config;
  const used = (await denoFileSystem.list(dataDir)).length > 0;
  if (!used) {
    return `${dataDir} is not in use yet: ` +
      "the first start binds it to the store that is configured.";
  }
  await denoFileSystem.mkdir(journal.dir);
  const lock = await lockJournal(denoFileSystem, journal.dir);
  try {
    const queued = await countQueued(config);
    // This comes before the binding: should it end here, the old store is only asked more than it
    // would have to be.
    await forgetStore(denoFileSystem, journal.dir);
    const before = await changeStore(dataDir, store.kind);
    const configured = describeConfigured(config);
    return `${dataDir} belonged to ${
      describeBefore(before)
    }; from now on it belongs to ${configured}.
${queued} for its next start, and will be stored there.
What is in the other store already stays in that.`;
  } finally {
    lock.close();
  }
}

/** Returns the beginning of a sentence. */
async function countQueued({ journal }: Parts): Promise<string> {
  const { unsettled } = await verifyJournal(denoFileSystem, journal.dir);
  return `${unsettled} accepted ${
    unsettled === 1 ? "write waits" : "writes wait"
  } in ${journal.dir}`;
}

function describeBefore(before: Awaited<ReturnType<typeof changeStore>>): string {
  if (before === undefined) return "no store yet";
  return before === "damaged"
    ? `a store that nobody can tell (the file ${STORE_FILE} is damaged)`
    : describeStore(before);
}

function describeConfigured({ store }: Parts): string {
  return `${store.kind} (${storePlace(store)})`;
}
