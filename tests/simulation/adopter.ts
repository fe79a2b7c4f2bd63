/**
 * An instance that leads, and does nothing else: it looks at the disks of all machines, which are
 * on a volume that it has, too, and brings to the store what is left there.
 */
import { Adoption } from "../../src/adopting/adoption.ts";
import { Breaker } from "../../src/guarding/breaker.ts";
import { GuardedCache } from "../../src/guarding/guarded_cache.ts";
import type { Term } from "../../src/ports/terms.ts";
import { TermOverError } from "../../src/errors.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { CacheNamespace } from "../../src/reading/cache_namespace.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "../support/fakes.ts";
import { adoptsNaively, buggyVolume, buggyWithin, NaiveAdoption } from "./adoption_bugs.ts";
import type { Bug } from "./bugs.ts";
import type { SimulatedCache } from "./cache.ts";
import type { SimulatedDisk } from "./disk.ts";
import type { Layout } from "./layout.ts";
import type { SimulatedStore } from "./store.ts";
import { Volume } from "./volume.ts";
import { type Process, SimulatedClock, type World } from "./world.ts";

interface AdopterParts {
  readonly world: World;
  readonly store: SimulatedStore;
  readonly cache: SimulatedCache;
  readonly disks: readonly SimulatedDisk[];
  readonly layout: NonNullable<Layout["adoption"]>;
  readonly cacheTtlMs: number;
  readonly bug: Bug | undefined;
}

const RESTART_MAX_MS = 2_000;
const RETRY_MS = 200;

const metrics = idleMetrics();

export class Adopter {
  #process: Process = { alive: false };
  #leader = 0;

  constructor(private readonly parts: AdopterParts, private readonly number: number) {}

  boot(): void {
    const process = this.#process = { alive: true };
    void this.#lead(process);
  }

  kill(): void {
    const { world, disks } = this.parts;
    if (!this.#process.alive) return;
    world.fault("adopter killed");
    this.#process.alive = false;
    for (const disk of disks) disk.kill(this.#process);
    world.after(world.random.between(0, RESTART_MAX_MS), "adopter boots", () => this.boot());
  }

  async #lead(process: Process): Promise<void> {
    const { world, store: server, bug } = this.parts;
    const clock = new SimulatedClock(world, process, () => 0);
    const volume = new Volume(this.parts.disks, process, server.identity.id);
    const { terms, within, ...store } = server.client(process);
    const bound = {
      ...store,
      within: (term: Term) => buggyWithin(within!(term), volume, bug),
    };
    const adoption = new (adoptsNaively(bug) ? NaiveAdoption : Adoption)(
      { ...this.parts.layout, from: Volume.ROOT },
      {
        fs: buggyVolume(volume.files, bug),
        neighbours: volume,
        store: bound,
        cache: this.#makeCache(process, clock, new CacheNamespace(store.identity, clock)),
        clock,
        metrics,
        log: new Log("info", "json", (line) => process.alive && this.#note(line)),
        instance: () => "adopter",
      },
    );
    for (let term: Term | undefined; process.alive;) {
      try {
        term ??= await terms!.begin(`${this.number}.${this.#leader++}`);
        await adoption.run(term, new AbortController().signal);
      } catch (error) {
        // The store is away, or another one leads: it is tried again.
        if (error instanceof TermOverError) term = undefined;
      }
      await new Promise<void>((resolve) => clock.setTimeout(resolve, RETRY_MS));
    }
  }

  #note(line: string): void {
    const { message, writes, reason } = JSON.parse(line) as Record<string, unknown>;
    if (message === "The journal is adopted: the store has its writes") {
      this.parts.world.fault(Number(writes) > 0 ? "journal adopted" : "journal was adopted");
    } else if (String(message).startsWith("The instance is back")) {
      this.parts.world.fault("owner back in the middle");
    } else if (String(reason).startsWith("The database went back")) {
      this.parts.world.fault("owner alone can send again");
    } else this.parts.world.trace(`adopter: ${message} ${reason ?? ""}`);
  }

  #makeCache(process: Process, clock: SimulatedClock, namespace: CacheNamespace): CacheClient {
    const { cache: server, cacheTtlMs } = this.parts;
    const cache = server.client(process, {
      namespace: () => namespace.text,
      clock,
      keepsCopiesOfUpdated: false,
      renewsNoFence: false,
    });
    return new CacheClient({
      cache: new GuardedCache(cache, new Breaker("The cache", clock, { countsCauses: true })),
      ttlMs: cacheTtlMs,
      clock,
      onFault: () => {},
      sharing: namespace,
    });
  }
}
