/**
 * Which faults a run has, and when: each seed has some kinds and not others, so that rare meetings
 * of two come about.
 */
import { Random } from "../support/random.ts";
import type { Adopter } from "./adopter.ts";
import type { SimulatedBroker } from "./broker.ts";
import type { SimulatedCache } from "./cache.ts";
import { damageSomeRecord } from "./damage.ts";
import type { SimulatedDisk } from "./disk.ts";
import type { Layout } from "./layout.ts";
import type { Machine } from "./machine.ts";
import type { Model } from "./model.ts";
import type { SimulatedServer } from "./network.ts";
import type { SimulatedStore } from "./store.ts";
import type { Worker } from "./worker.ts";
import type { World } from "./world.ts";

interface WeatherParts {
  readonly world: World;
  readonly model: Model;
  readonly layout: Layout;
  readonly store: SimulatedStore;
  readonly cache: SimulatedCache;
  readonly broker: SimulatedBroker | undefined;
  readonly machines: readonly Machine[];
  readonly workers: readonly Worker[];
  readonly adopters: readonly Adopter[];
  /** Somebody writes something at this machine. */
  readonly write: (machine: Machine) => void;
}

const KIND_CHANCE = 0.35;
const MAX_OCCURRENCES = 3;
const PAUSES_SHARE = 0.2;
/** Any number that keeps this chance apart from that of the run. */
const PAUSES_APART = 0x2545f491;
/** Of one half of the program, or by a person. */
const PAUSE_MAX_MS = 3_000;
const AWAY_WRITES_MAX = 20;
const AWAY_AFTER_MS = 1_500;
const AWAY_AT_WORK_MS = 10;
const AWAY_MIN_MS = 300;
const AWAY_MAX_MS = 5_000;
const BACKUP_AGE_MAX_MS = 5_000;
const CLOCK_STEP_MS = 3_600_000;

export class Weather {
  #fair = false;
  #restores = 0;

  constructor(private readonly parts: WeatherParts, private readonly activeMs: number) {}

  /** Plans the whole run ahead. */
  plan(): void {
    const { world, store, cache, broker, machines, workers, adopters } = this.parts;
    for (const machine of machines) {
      this.#planMachine(machine);
      this.#planDisk(machine.disk);
    }
    this.#sometimes("backup", () => this.#restoreLater());
    this.#sometimes("cache flushed", () => {
      world.fault("cache flushed");
      cache.flush();
    });
    for (const [name, server] of [["store", store], ["cache", cache]] as const) {
      this.#spells(`${name} down`, 4_000, (on) => server.faults.down = on);
      this.#planServer(name, server);
    }
    if (world.random.chance(KIND_CHANCE)) store.conflicts = 0.2;
    this.#spells("cache read-only spell", 8_000, (on) => cache.readOnly = on);
    this.#spells("store refuses", 6_000, (on) => store.refusesAll = on);
    if (broker !== undefined) this.#planBroker(broker);
    for (const adopter of adopters) this.#severalTimes("adopter kill", () => adopter.kill());
    for (const worker of workers) {
      this.#sometimes("worker kill", () => worker.kill());
      this.#sometimes("worker stop", () => void worker.stop());
    }
  }

  #planMachine(machine: Machine): void {
    const { world: { random }, layout: { broker } } = this.parts;
    this.#sometimes("kill", () => machine.kill("kill", () => this.#damage(machine)));
    this.#sometimes("power loss", () => this.#losePower(machine));
    this.#sometimes("stop", () => void machine.stop());
    this.#sometimes(
      "delivery stops",
      () => void machine.restartDelivery(random.between(0, PAUSE_MAX_MS)),
    );
    this.#sometimes(
      "intake stops",
      () => void machine.restartIntake(random.between(0, PAUSE_MAX_MS)),
    );
    this.#sometimes("clock step", () => this.#stepClock(machine));
    this.#planPauses(machine);
    if (this.parts.layout.adoption !== undefined) {
      this.#severalTimes("goes away", () => this.#goesAway(machine));
    }
    if (!broker?.comesAndGoes) return;
    if (random.chance(0.5)) machine.changeWay();
    this.#sometimes("another way", () => {
      machine.changeWay();
      if (random.chance(0.5)) void machine.stop();
      else machine.kill("kill");
    });
  }

  /** They have a chance of their own, so that the other runs stay as they were. */
  #planPauses(machine: Machine): void {
    const { world } = this.parts;
    const random = new Random(world.seed ^ PAUSES_APART ^ machine.number);
    if (!random.chance(PAUSES_SHARE)) return;
    for (let i = random.between(1, MAX_OCCURRENCES); i > 0; i--) {
      const [forMs, stops] = [random.between(0, PAUSE_MAX_MS), random.chance(0.3)];
      const atMs = random.between(0, this.activeMs);
      world.after(atMs, "pause", () => this.#fair || void machine.pause(forMs, stops));
    }
  }

  #planDisk(disk: SimulatedDisk): void {
    this.#spells("disk full", 3_000, (on) => {
      disk.faults.full = on;
      if (on) this.parts.model.diskIsFull();
    });
    this.#spells("disk writes fail", 500, (on) => disk.faults.failedWrites = on ? 0.3 : 0);
    this.#spells("disk syncs fail", 800, (on) => {
      disk.faults.failedSyncs = on ? 0.3 : 0;
      if (on) this.parts.model.diskLied = true;
    });
    this.#spells("disk reads fail", 500, (on) => disk.faults.failedReads = on ? 0.2 : 0);
  }

  #planBroker(broker: SimulatedBroker): void {
    this.#spells("broker down", 4_000, (on) => broker.turnDown(on));
    this.#planServer("broker", broker);
    if (this.parts.world.random.chance(KIND_CHANCE)) broker.cutsConsumers = true;
  }

  /** No fault from now on. What is broken mends itself, or is started anew. */
  clear(): void {
    const { machines, store, cache, broker } = this.parts;
    this.#fair = true;
    for (const { disk } of machines) {
      Object.assign(disk.faults, { failedSyncs: 0, failedWrites: 0, failedReads: 0, full: false });
    }
    for (const server of [store, cache, ...broker === undefined ? [] : [broker]]) {
      Object.assign(server.faults, {
        down: false,
        blackHole: false,
        slow: false,
        cutBefore: 0,
        cutAfter: 0,
      });
    }
    if (broker !== undefined) Object.assign(broker, { burns: 0, cutsConsumers: false });
    store.conflicts = 0;
    store.refusesAll = false;
    cache.readOnly = false;
  }

  #planServer(name: string, server: SimulatedServer): void {
    const { random } = this.parts.world;
    this.#spells(`${name} black hole`, 8_000, (on) => server.faults.blackHole = on);
    this.#spells(`${name} slow`, 8_000, (on) => server.faults.slow = on);
    if (random.chance(KIND_CHANCE)) server.faults.cutBefore = 0.1;
    if (random.chance(KIND_CHANCE)) server.faults.cutAfter = 0.1;
  }

  #sometimes(what: string, happen: () => void): void {
    const { world } = this.parts;
    if (world.random.chance(KIND_CHANCE)) this.#severalTimes(what, happen);
  }

  #severalTimes(what: string, happen: () => void): void {
    const { world } = this.parts;
    const times = 1 + world.random.below(MAX_OCCURRENCES);
    for (let i = 0; i < times; i++) {
      world.after(world.random.between(0, this.activeMs), what, () => this.#fair || happen());
    }
  }

  #spells(what: string, longestMs: number, turn: (on: boolean) => void): void {
    const { world } = this.parts;
    this.#sometimes(what, () => {
      world.fault(what);
      turn(true);
      world.after(
        world.random.between(0, longestMs),
        `${what} ends`,
        () => this.#fair || turn(false),
      );
    });
  }

  #losePower(machine: Machine): void {
    machine.kill("power loss", () => {
      machine.disk.losePower();
      this.#damage(machine);
    });
  }

  /** In the middle of what it is asked for, and for longer than a restart takes. */
  #goesAway(machine: Machine): void {
    const { world, world: { random } } = this.parts;
    const restore = random.chance(0.3) ? this.#backUp() : () => {};
    const write = () => {
      for (let i = random.below(AWAY_WRITES_MAX); i > 0; i--) this.parts.write(machine);
    };
    write();
    // What is written before that may be settled by then, and what is written now is on its way.
    const afterMs = random.pick([0, AWAY_AFTER_MS]);
    world.after(afterMs, "writes once more", () => this.#fair || write());
    world.after(afterMs + random.between(0, AWAY_AT_WORK_MS), "goes away", () => {
      if (this.#fair) return;
      machine.kill("gone", () => {
        restore();
        if (random.chance(0.3)) this.#losePowerLater(machine);
      }, random.between(AWAY_MIN_MS, AWAY_MAX_MS));
    });
  }

  /** Whoever was gone without its machine loses that, too. */
  #losePowerLater({ disk }: Machine): void {
    const { world } = this.parts;
    world.after(world.random.between(0, AWAY_MIN_MS), "power loss", () => {
      if (this.#fair) return;
      world.fault("power loss of a machine that is gone");
      disk.losePower();
    });
  }

  #damage({ disk }: Machine): void {
    const { world, model } = this.parts;
    if (!world.random.chance(0.1)) return;
    const damaged = damageSomeRecord(world, disk);
    if (damaged === undefined) return;
    world.fault("bit flipped");
    model.diskLied = true;
    for (const value of damaged) model.excuse(value);
  }

  /** What is committed from now on until then is gone. */
  #restoreLater(): void {
    const { world } = this.parts;
    world.after(world.random.between(0, BACKUP_AGE_MAX_MS), "restore", this.#backUp());
  }

  /** Returns what restores the backup. */
  #backUp(): () => void {
    const { model, store } = this.parts;
    const backup = store.snapshot();
    const restores = this.#restores;
    return () => {
      // A backup of what has been given up since is of no use to anybody.
      if (this.#fair || this.#restores !== restores) return;
      this.#restores++;
      store.restore(backup, (row) => model.vanished(row));
    };
  }

  #stepClock(machine: Machine): void {
    const { world } = this.parts;
    world.fault("clock step");
    machine.wallOffsetMs += world.random.pick([-CLOCK_STEP_MS, CLOCK_STEP_MS]);
  }
}
