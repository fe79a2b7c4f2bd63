/**
 * A program that adopts, and does nothing else, as an instance does that leads. It is configured as
 * one, begins a term, and tells on standard error what it logs.
 */
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { Adoption } from "../../src/adopting/adoption.ts";
import { loadConfigFromProcess } from "../../src/config/config.ts";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { denoNeighbours } from "../../src/disk/neighbours.ts";
import { reasonOf, TermOverError } from "../../src/errors.ts";
import { createCache } from "../../src/parts.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { CacheNamespace } from "../../src/reading/cache_namespace.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "./fakes.ts";

/** It ends so when another one has begun a term. */
export const TERM_OVER_CODE = 3;

if (import.meta.main) await lead(Deno.args[0]!);

/** @param leader it leads by this name */
async function lead(leader: string): Promise<void> {
  const log = new Log("info", "json");
  const loaded = loadConfigFromProcess();
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const { store: database, adopt, batch, cache } = loaded.config;
  if (database.kind === "sqlite" || adopt === undefined) throw new Error("There is nothing to do");
  const { terms, within, ...store } = createPostgresStore(database);
  const namespace = new CacheNamespace(store.identity, systemClock);
  const onFault = (error: unknown) => log.warn("A call of the cache failed", { error });
  const adoption = new Adoption({ ...adopt, maxRows: batch.max }, {
    fs: denoFileSystem,
    neighbours: denoNeighbours,
    store: { ...store, within },
    cache: new CacheClient({
      cache: createCache(
        loaded.config,
        { namespace: () => namespace.text, onFault, onNotice: (message) => log.info(message) },
        systemClock,
      ),
      ttlMs: cache.ttlMs,
      clock: systemClock,
      onFault,
      ...(cache.kind === "redis" && { sharing: namespace }),
    }),
    clock: systemClock,
    metrics: idleMetrics(),
    log,
    instance: () => leader,
  });
  // It makes the tables, should they not be there.
  await store.store.marks([]);
  const term = await terms.begin(leader);
  log.info("It leads from here on, listening on http://nobody.invalid");
  for (;;) {
    try {
      await adoption.run(term, new AbortController().signal);
    } catch (error) {
      log.warn("A look failed", { reason: reasonOf(error) });
      if (error instanceof TermOverError) Deno.exit(TERM_OVER_CODE);
    }
    await new Promise((resolve) => setTimeout(resolve, adoption.intervalMs));
  }
}
