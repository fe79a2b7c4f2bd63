/**
 * The machine that the program runs on: it boots, is stopped, killed, loses power; and what clients
 * do with it meanwhile.
 */
import type { AckLevel } from "../../src/domain.ts";
import { AppError, reasonOf } from "../../src/errors.ts";
import { HEADER_BYTES } from "../../src/journal/codec.ts";
import type { SimulatedDisk } from "./disk.ts";
import { Program, type ProgramParts, type Settings } from "./program.ts";
import type { Process } from "./world.ts";

const RESTART_MS = 200;

export class Machine {
  /** Of the wall clock against the time of the world; set by whoever steps the clock. */
  wallOffsetMs = Date.UTC(2026, 0, 1);
  #process: Process = { alive: false };
  #running: Program | undefined;
  #stopping = false;
  /** What is to be sent again is still there after a restart. */
  #hasRewound = false;
  /** The next start is told of the broker, if there is one. */
  #usesBroker = true;

  constructor(private readonly parts: ProgramParts, private readonly settings: Settings) {}

  get number(): number {
    return this.parts.machine;
  }

  get disk(): SimulatedDisk {
    return this.parts.disk;
  }

  /** Clients are served. */
  get up(): boolean {
    return this.#running?.doors !== undefined && !this.#stopping;
  }

  /** Nothing waits for the store. */
  get idle(): boolean {
    return this.up && this.#running!.service.status?.depth === 0;
  }

  /** Starts the program, again and again if need be. */
  boot(): void {
    const process = this.#process = { alive: true };
    const program = new Program(process, this.parts, this.settings, {
      wallOffsetMs: () => this.wallOffsetMs,
      usesBroker: this.#usesBroker,
    });
    void program.service.start().then(() => this.#running = program, (error) => {
      if (error instanceof AppError && !this.parts.model.diskLied) {
        this.parts.world.violated(`the program does not start: ${reasonOf(error)}`);
      }
      this.#end(process);
      this.parts.world.after(RESTART_MS, "boot", () => this.boot());
    });
  }

  /** From the next start on the program is configured without the broker, or with it again. */
  changeWay(): void {
    this.#usesBroker = !this.#usesBroker;
    this.parts.world.fault(this.#usesBroker ? "broker configured" : "broker configured away");
  }

  /** Ends the program at once; it is started again a little later. */
  kill(fault: string, whileDown: () => void = () => {}, downMs = RESTART_MS): void {
    if (!this.#process.alive) return;
    this.parts.world.fault(fault);
    this.#end(this.#process);
    whileDown();
    this.parts.world.after(downMs, "boot", () => this.boot());
  }

  /** Ends the program in order, as SIGTERM does. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#stopping) return;
    const { world } = this.parts;
    this.#stopping = true;
    world.fault("stop");
    await running.service.stop().catch((error) =>
      world.violated(`the program does not stop in order: ${reasonOf(error)}`)
    );
    if (!running.process.alive) return;
    this.#end(running.process);
    world.after(RESTART_MS, "boot", () => this.boot());
  }

  /** Requests are turned away for a while; delivery goes on. */
  async restartIntake(afterMs: number): Promise<void> {
    const running = this.#running;
    if (running?.doors === undefined || this.#stopping) return;
    this.parts.world.fault("intake stopped");
    await running.service.stopIntake();
    await this.parts.world.delay(afterMs, "intake starts");
    if (this.#goesOn(running)) await running.service.startIntake();
  }

  /** Nothing is delivered for a while; requests are carried out. */
  async restartDelivery(afterMs: number): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#stopping || running.service.outward === undefined) return;
    this.parts.world.fault("delivery stopped");
    await running.service.stopDelivery();
    await this.parts.world.delay(afterMs, "delivery starts");
    if (this.#goesOn(running)) running.service.startDelivery();
  }

  /** A person pauses the program, and resumes it a while later, unless it ends before. */
  async pause(forMs: number, stops: boolean): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#stopping) return;
    const { world } = this.parts;
    world.fault("paused");
    running.pausing.turn(true);
    await world.delay(forMs, "resumed");
    if (stops) return await this.stop();
    running.pausing.turn(false);
    if (this.#goesOn(running)) world.fault("resumed");
  }

  /** False when it was refused, or when nobody was there to accept it. */
  async write(userId: string, value: string, ts: number, ack: AckLevel): Promise<boolean> {
    const running = this.#running;
    if (running?.doors === undefined) return false;
    const { model, world, machine } = this.parts;
    const write = model.begin(machine, userId, value, ts);
    world.trace(`${ack} write of ${userId}: ${value.split(":")[0]} at ${ts}`);
    running.requests++;
    try {
      model.accepted(write, await running.doors.intake.write({ userId, value, ts }, ack));
      return true;
    } catch (error) {
      if (!(error instanceof AppError)) {
        world.violated(`a write failed on a defect: ${reasonOf(error)}`);
        return false;
      }
      world.fault(`write refused: ${error.code}`);
      model.refused(write, error.code);
      return false;
    } finally {
      running.requests--;
    }
  }

  async read(userId: string): Promise<void> {
    const running = this.#running;
    if (running?.doors === undefined) return;
    const { reader, journal } = running.doors;
    const { model, world, store, disk, machine } = this.parts;
    const floor = model.floor(machine, userId);
    // What the journal let go of may be out of reach while the store is.
    const floorWithoutStore = model.floor(machine, userId, ({ run, seq }) => {
      const stage = journal.stageOf(run, seq);
      return stage === "durable" || stage === "accepted";
    });
    const startedMs = world.nowMs;
    world.trace(`read of ${userId}, expecting ${floor?.value.split(":")[0] ?? "anything"}`);
    const readsFail = disk.faults.failedReads > 0;
    running.requests++;
    if (running.breaker.state !== 0) running.breakerMs = startedMs;
    const storeAway = () =>
      Math.max(store.lastFaultMs, running.breakerMs) >= startedMs || store.faults.blackHole;
    try {
      const found = await reader.read(userId);
      model.wasRead(userId, storeAway() ? floorWithoutStore : floor, found?.entry, startedMs);
    } catch (error) {
      if (error instanceof AppError && error.code === "store-unavailable" && storeAway()) {
        return world.fault("read refused: store-unavailable");
      }
      // A value that is held on disk only, which cannot be read.
      if (readsFail || disk.faults.failedReads > 0) return world.fault("read refused: disk");
      world.violated(`a read failed: ${reasonOf(error)}`);
    } finally {
      running.requests--;
    }
  }

  /** What has to hold at every moment. */
  check(): void {
    const running = this.#running;
    const status = running?.service.status;
    if (running === undefined || status === undefined) return;
    if (running.breaker.state !== 0) running.breakerMs = this.parts.world.nowMs;
    const { world } = this.parts;
    const { journalBytes, segmentBytes } = this.settings;
    // Groups that wait become segments, each with a header that nobody could count before.
    const segments = 2 * Math.ceil(journalBytes / segmentBytes) + 2;
    // What was settled made room for writes that were accepted by then, and was to be sent again.
    this.#hasRewound ||= running.hasRewound;
    const maxBytes = this.#hasRewound ? 2 * journalBytes : journalBytes;
    // What is kept is removed when its bytes are needed, which takes the disk a moment.
    const bytes = status.bytes - status.retainedBytes;
    if (bytes > maxBytes + segments * HEADER_BYTES) {
      world.violated(`the journal has ${bytes} bytes, of ${journalBytes}`);
    }
    if (bytes <= journalBytes && !running.hasRewound) this.#hasRewound = false;
    // Not ready any more: whoever watches it starts it anew.
    if (status.failure !== undefined && !this.#stopping) this.kill("restart after a failed disk");
  }

  #goesOn(running: Program): boolean {
    return running.process.alive && this.#running === running && !this.#stopping;
  }

  #end(process: Process): void {
    process.alive = false;
    this.#running = undefined;
    this.#stopping = false;
    this.parts.disk.kill(process);
    this.parts.broker?.died(process);
  }
}
