/** `--check-config`: each configured part opened, without changing anything, and asked whether it will do. */
import type { Config } from "./config.ts";
import { reasonOf } from "./errors.ts";
import { denoFileSystem } from "./journal/file_system.ts";
import { type JournalCondition, verifyJournal } from "./journal/verify.ts";
import { createCache, createStore } from "./parts.ts";
import type { Store } from "./ports.ts";

/** What `--check-config` prints: each configured part opened, read-only, and asked whether it works. */
export async function checkConfiguration(config: Config): Promise<{ ok: boolean; message: string }> {
  const store = createStore(config);
  const cache = createCache(config, () => undefined, () => {});
  const checks: [string, () => Promise<string>][] = [
    ["journal", async () => describeJournal(await verifyJournal(denoFileSystem, config.journal.dir))],
    [`store (${config.store.kind})`, () => checkStore(config, store)],
    [`cache (${config.cache.kind})`, () => cache.ping().then(() => "answers")],
  ];
  const lines: string[] = [];
  let ok = true;
  for (const [name, check] of checks) {
    try {
      lines.push(`ok      ${name}: ${await check()}`);
    } catch (error) {
      ok = false;
      lines.push(`failed  ${name}: ${reasonOf(error)}`);
    }
  }
  await Promise.allSettled([store.close(), cache.close()]);
  return { ok, message: lines.join("\n") };
}

async function checkStore({ store }: Config, opened: Store): Promise<string> {
  if (store.kind === "sqlite") {
    try {
      await Deno.stat(store.path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "not there yet; it is made at the first start";
      throw error;
    }
  }
  await opened.ping();
  return "answers";
}

function describeJournal({ instance, segments, bytes, records, unacked, damage }: JournalCondition): string {
  if (instance === undefined) return "not there yet; it is made at the first start";
  const stretches = damage.map(({ kind, segment, offset, bytes }) =>
    `${kind} in ${segment} at ${offset} (${bytes} bytes)`
  );
  const condition = damage.length === 0 ? "no damage" : `damage: ${stretches.join(", ")}`;
  return `instance ${instance}, ${records} records in ${segments} segments (${bytes} bytes), ${unacked} not in the store; ${condition}`;
}
