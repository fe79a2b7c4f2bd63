/** `--check-config`: each configured part opened, without changing anything, and asked whether it will do. */
import type { Config } from "./config.ts";
import { dataDirChecks } from "./data_dir_check.ts";
import { reasonOf } from "./errors.ts";
import { createCache, createStore } from "./parts.ts";
import type { Store } from "./ports.ts";

/** What `--check-config` prints: each configured part opened, read-only, and asked whether it works. */
export async function checkConfiguration(config: Config): Promise<{ ok: boolean; message: string }> {
  const store = createStore(config);
  const cache = createCache(config, () => undefined, () => {});
  const checks: [string, () => Promise<string>][] = [
    ...dataDirChecks({ dataDir: config.dataDir, journalDir: config.journal.dir, storeKind: config.store.kind }),
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
