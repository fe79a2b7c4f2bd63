/**
 * Is one instance of a trial: it tries to lead, as the service does, and as long as it believes to
 * lead it commits its term, as fast as it can. It is stubborn: a step goes on after its signal until
 * the store refuses it, as one would whose process was stopped just behind the last look at it.
 */
import { Database } from "../../src/adapters/postgres/database.ts";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { assertTerm } from "../../src/adapters/postgres/terms.ts";
import { RedisLease } from "../../src/adapters/redis/lease.ts";
import type { Duty } from "../../src/cluster/duty.ts";
import { Leadership } from "../../src/cluster/leadership.ts";
import { StoreError, TermOverError } from "../../src/errors.ts";
import { systemClock } from "../../src/ports/clock.ts";
import type { Term } from "../../src/ports/terms.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "../support/fakes.ts";
import { postgresOptions } from "../support/postgres_options.ts";
import type { InstanceSettings, Told } from "./trial.ts";

/** A step does not end by itself before the store refuses it, but after so long at the latest. */
const STUBBORN_MS = 3_000;

const settings = JSON.parse(Deno.args[0]!) as InstanceSettings;
const options = { ...postgresOptions(settings.databaseUrl), callTimeoutMs: settings.lifeMs / 3 };
const database = new Database(options);
const ports = createPostgresStore(options);
/** Set by a signal: whoever keeps this machine's time sets it back. */
let offsetMs = 0;

class Committing implements Duty {
  readonly name = "commit the term";
  readonly intervalMs = 0;

  async run(term: Term, signal: AbortSignal): Promise<void> {
    const abandonedMs = { at: Infinity };
    signal.addEventListener("abort", () => abandonedMs.at = performance.now());
    while (performance.now() < abandonedMs.at + STUBBORN_MS) {
      try {
        await this.#commit(term);
      } catch (error) {
        if (error instanceof TermOverError) tell({ kind: "refused", term: term.number });
        if (!signal.aborted || !(error instanceof StoreError)) throw error;
        if (error instanceof TermOverError) throw error;
      }
    }
  }

  /** Whoever commits has the row of the order, so that the numbers are in the order of commits. */
  async #commit(term: Term): Promise<void> {
    await database.transaction(async (session) => {
      if (!settings.acceptsStaleTerms) await assertTerm(session, term);
      await session.query(
        `with next as (update trial_order set n = n + 1 returning n)
         insert into trial (n, term, leader) select n, $1, $2 from next`,
        [term.number, settings.name],
      );
    });
  }
}

function tell(what: Told): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(what)}\n`));
}

const identity = async () => (await ports.identity.identify()).id;
const { redisUrl: url } = settings;
const leadership = new Leadership({
  lease: url === undefined
    ? ports.lease
    : new RedisLease({ url, prefix: "", identity, callTimeoutMs: settings.lifeMs / 3 }),
  terms: ports.terms,
  duties: [new Committing()],
  name: () => settings.name,
  clock: { ...systemClock, now: () => Date.now() + offsetMs },
  random: Math.random,
  log: new Log("info", "json"),
  metrics: idleMetrics(),
  lifeMs: settings.lifeMs,
});
leadership.start();
Deno.addSignalListener("SIGUSR1", () => offsetMs = offsetMs === 0 ? -3_600_000 : 0);
Deno.addSignalListener("SIGTERM", async () => {
  await leadership.stop();
  await Promise.all([database.close(), ports.store.close()]);
  Deno.exit(0);
});
