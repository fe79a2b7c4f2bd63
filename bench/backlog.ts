/** Prepares journals whose records no store has yet, as a service leaves them that has no store. */
import { openJournal } from "../src/journal/journal.ts";
import { output } from "../tests/support/services.ts";
import { NOBODY } from "../tests/support/journals.ts";

/** Room for 10 million records and more; for the service that opens them, too. */
export const BACKLOG_SETTINGS = { JOURNAL_MAX_BYTES: "16GiB" } as const;
const JOURNAL_BYTES_MAX = 16 * 2 ** 30;

/** They wait for the disk together, and stay below what may wait. */
const GROUP_RECORDS = 20_000;
/** Nobody has more users than the service keeps pending. */
const USERS_MAX = 1_000_000;

/** Returns how many users a backlog is of: 1M records of 300,000, 10M of 1M. */
export function usersOf(records: number): number {
  return Math.min(USERS_MAX, Math.ceil(records * 0.3));
}

/** Makes a data directory with so many records in its journal, by the journal's own code. */
export async function makeBacklog(dataDir: string, records: number): Promise<void> {
  await Deno.mkdir(dataDir, { recursive: true });
  const journal = await openJournal({
    dir: `${dataDir}/journal`,
    maxBytes: JOURNAL_BYTES_MAX,
    retainMs: 0,
    listener: NOBODY,
  });
  const users = usersOf(records);
  const ts = Math.floor(Date.now() / 1_000);
  for (let n = 0; n < records;) {
    let durable: Promise<void> | undefined;
    for (const end = Math.min(n + GROUP_RECORDS, records); n < end; n++) {
      // Every user once first; then at random, as a load does it.
      const user = n < users ? n : Math.floor(Math.random() * users);
      durable = journal.push({ userId: `user${user}`, value: `value ${n}`, ts }).durable;
    }
    await durable;
  }
  await journal.close();
}

/** A service changes the directory that it is started on. */
export async function copyOf(dataDir: string, to: string): Promise<string> {
  await output("cp", ["-r", dataDir, to]);
  return to;
}

/** Returns a number of records for people: `1M`, `10M`, `300k`. */
export function shortly(records: number): string {
  if (records >= 1e6) return `${records / 1e6}M`;
  return records >= 1e3 ? `${records / 1e3}k` : `${records}`;
}
