/**
 * A program that adopts, and does nothing else, as an instance does that leads. It is given what it
 * needs as JSON, and tells on standard error what it logs.
 */
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { Adoption } from "../../src/adopting/adoption.ts";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { denoNeighbours } from "../../src/disk/neighbours.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "./fakes.ts";
import { postgresOptions } from "./postgres_options.ts";

export interface AdopterSettings {
  readonly databaseUrl: string;
  readonly from: string;
  readonly afterMs?: number;
  readonly maxRows?: number;
  /** It leads by this name. */
  readonly leader: string;
}

if (import.meta.main) {
  const settings = JSON.parse(Deno.args[0]!) as AdopterSettings;
  const log = new Log("info", "json");
  const { terms, within, ...store } = createPostgresStore(postgresOptions(settings.databaseUrl));
  const metrics = idleMetrics();
  const adoption = new Adoption(
    { from: settings.from, afterMs: settings.afterMs ?? 200, maxRows: settings.maxRows ?? 500 },
    {
      fs: denoFileSystem,
      neighbours: denoNeighbours,
      store: { ...store, within },
      cache: { update: () => Promise.resolve(), forget: () => Promise.resolve() },
      clock: systemClock,
      metrics,
      log,
      instance: () => settings.leader,
    },
  );
  // It makes the tables, should they not be there.
  await store.store.marks([]);
  const term = await terms.begin(settings.leader);
  log.info("listening on http://adopts.invalid");
  for (;;) {
    try {
      await adoption.run(term, new AbortController().signal);
    } catch (error) {
      log.warn("A look failed", { error });
      if (error instanceof Error && error.name === "TermOverError") Deno.exit(3);
    }
    await new Promise((resolve) => setTimeout(resolve, adoption.intervalMs));
  }
}
