/** A process that is a worker and nothing else: it is started, stopped and killed by itself. */
import { DeliveryWay } from "../../src/delivery_way.ts";
import { Breaker } from "../../src/guarding/breaker.ts";
import { guardStore } from "../../src/guarding/guarded_store.ts";
import type { Applier } from "../../src/applying/applier.ts";
import { PauseSwitch } from "../../src/pause_switch.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "../support/fakes.ts";
import type { SimulatedBroker } from "./broker.ts";
import type { Bug } from "./bugs.ts";
import { SimulatedDisk } from "./disk.ts";
import { buggyGroupStore } from "./group_bugs.ts";
import type { Settings } from "./program.ts";
import type { SimulatedStore } from "./store.ts";
import { type Process, SimulatedClock, type World } from "./world.ts";

interface WorkerParts {
  readonly world: World;
  readonly store: SimulatedStore;
  readonly broker: SimulatedBroker;
  readonly bug: Bug | undefined;
}

const RESTART_MAX_MS = 2_000;

const log = new Log("error", "json", () => {});
const metrics = idleMetrics();

export class Worker {
  #process: Process = { alive: false };
  #applier: Applier | undefined;
  #pausing = new PauseSwitch();

  constructor(private readonly parts: WorkerParts, private readonly settings: Settings) {}

  boot(): void {
    this.#process = { alive: true };
    this.#pausing = new PauseSwitch();
    this.#applier = this.#makeApplier(this.#process);
    this.#applier.start();
  }

  kill(): void {
    if (!this.#process.alive) return;
    this.parts.world.fault("worker killed");
    this.#end();
  }

  /** Ends it in order, as SIGTERM does. */
  async stop(): Promise<void> {
    const process = this.#process;
    const applier = this.#applier;
    if (applier === undefined) return;
    this.#applier = undefined;
    this.parts.world.fault("worker stopped");
    await applier.stop();
    if (process.alive) this.#end();
  }

  #end(): void {
    const { world, broker } = this.parts;
    this.#process.alive = false;
    this.#applier = undefined;
    broker.died(this.#process);
    world.after(world.random.between(0, RESTART_MAX_MS), "worker boots", () => this.boot());
  }

  #makeApplier(process: Process): Applier {
    const { world, store: server, broker, bug } = this.parts;
    const { batchSize, batchMax } = this.settings;
    const clock = new SimulatedClock(world, process, () => 0);
    const { groups, ...others } = server.client(process);
    const store = guardStore(
      { ...others, ...(groups && { groups: buggyGroupStore(groups, server, bug) }) },
      { store: new Breaker("The store", clock), reads: new Breaker("The store", clock) },
      () => {},
    );
    const { applier } = new DeliveryWay({
      role: "worker",
      batch: { size: batchSize, intervalMs: broker.batchIntervalMs, max: batchMax },
      dataDir: "",
    }, {
      broker: broker.ends(process),
      store,
      storeIdentity: () => undefined,
      // It keeps nothing there.
      fs: new SimulatedDisk(world).mount(process),
      clock,
      pausing: this.#pausing,
      random: world.random.next,
      ...{ metrics, log },
    });
    return applier!;
  }
}
