/**
 * Leads the life of the service: the two halves and the journal between them are started in order
 * and stopped in the reverse one. What the application puts on the network, and the simulation puts
 * to the test, is this one object. Every step is told to an observer, so that its order can be
 * read.
 */
import { ClosingList } from "./closing_list.ts";
import type { DrainOutcome } from "./delivery/batcher.ts";
import { endsWithin } from "./deadline.ts";
import type { ForwardingParts } from "./forwarding/forwarding_half.ts";
import { IntakeHalf } from "./intake/intake_half.ts";
import { Outbound } from "./outbound.ts";
import type { IntakeStatus } from "./ports/intake.ts";
import type { CacheNote } from "./reading/cache_note.ts";
import { Arrivals } from "./reading/arrivals.ts";
import { Reader } from "./reading/reader.ts";
import type {
  JournalPorts,
  Outward,
  Part,
  Phase,
  ServiceEvent,
  ServiceParts,
} from "./service_parts.ts";

/** For so long whoever asks whether this is ready is told no, before anybody is turned away. */
const LAME_DUCK_MS = 500;
/** Between two drains the requests get so long to come to their end. */
const DRAIN_POLL_MS = 25;
/** At the end of the grace time a commit that is on its way gets so long to be heard of. */
const LAST_FLUSH_MS = 250;
/**
 * So much of the grace time is kept for what comes after the last flush: connections that do not
 * answer are given up, and files are closed.
 */
const CLOSING_MS = 1_750;
const INCOMPLETE = { event: "stop-incomplete" } as const;

export class Service {
  readonly #intake: IntakeHalf;
  readonly #arrivals: Arrivals;
  readonly #closing: ClosingList<Part>;
  #phase: Phase = "starting";
  #isListening = false;
  #journal: JournalPorts | undefined;
  #forwarding: ForwardingParts | undefined;
  #outbound: Outbound | undefined;
  #starting: Promise<string> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(private readonly parts: ServiceParts) {
    const { store, cache, log } = parts;
    this.#intake = new IntakeHalf({
      ...parts,
      onDurable: (entries) => this.#outbound?.durable(entries),
    });
    this.#arrivals = new Arrivals(parts);
    this.#closing = new ClosingList<Part>((event) => this.#tell(event), log);
    this.#closing.add("store", () => store.close());
    this.#closing.add("cache", () => cache.close());
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** It is undefined as long as the journal is not open. */
  get status(): IntakeStatus | undefined {
    return this.#journal?.status();
  }

  /** It is undefined while nothing is delivered. */
  get outward(): Outward | undefined {
    return this.#outbound;
  }

  /**
   * It says why the store takes no row at all, though it answers; it is undefined while the store
   * does.
   */
  get refusal(): string | undefined {
    return this.#outbound?.refusal;
  }

  /** It says why the broker takes nothing just now; undefined while it does, or where none is. */
  get brokerFailure(): string | undefined {
    return this.#outbound?.brokerFailure;
  }

  /**
   * Listens, recovers what an earlier run left, then accepts.
   * @returns the base URL. @throws when that cannot be done; whatever was opened is closed then
   */
  start(): Promise<string> {
    return this.#starting = this.#start();
  }

  async #start(): Promise<string> {
    try {
      await this.parts.checkPlace?.();
      const url = await this.#listen();
      this.#phase = "recovering";
      const note = await this.#openJournal();
      await this.startIntake();
      this.#startAttendants(note);
      this.startDelivery();
      this.#phase = "serving";
      this.#tell("ready");
      return url;
    } catch (error) {
      this.#tell("start failed");
      await this.stopDelivery();
      await this.stopIntake();
      // What went wrong first is what a person has to know, and it is thrown.
      await this.#closing.closeAll();
      throw error;
    }
  }

  /**
   * Stops accepting, finishes requests, flushes within the grace time, and closes everything. What
   * is left is in the journal. @throws the first failure, once everything is closed
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Requests are carried out from now on, whether or not anything is delivered. */
  async startIntake(): Promise<void> {
    const { front } = this.parts;
    if (!this.#isListening) await this.#listen();
    this.#intake.start();
    await front.open({
      intake: this.#intake,
      journal: this.#openedJournal,
      reader: this.#reader(),
    });
    this.#tell("intake started");
  }

  /** Turns writes away, or takes them again, while reads and delivery go on. */
  acceptWrites(accepts: boolean): void {
    if (this.#phase !== "serving") return;
    if (accepts) this.#intake.start();
    else this.#intake.refuse();
  }

  /** Turns requests away, while delivery goes on with what the journal has. */
  async stopIntake(limitMs = this.parts.graceMs): Promise<void> {
    if (!this.#isListening) return;
    this.#intake.stop();
    await this.#finishRequests(limitMs);
    this.#tell("intake stopped");
  }

  /** Begins to bring on what the journal has, whether or not requests are carried out. */
  startDelivery(): void {
    this.#outbound = new Outbound({
      ...this.parts,
      journal: this.#openedJournal,
      forwarding: this.#forwarding,
      onSettled: (settlement) => this.#intake.settled(settlement),
      onReplicated: (throughSeq) => this.#intake.replicated(throughSeq),
      isAwaited: () => this.#intake.isFlushAwaited,
    });
    this.#outbound.start();
    this.#tell("delivery started");
  }

  /** Ends delivery; what is accepted meanwhile waits in the journal. */
  async stopDelivery(): Promise<void> {
    const outbound = this.#outbound;
    if (outbound === undefined) return;
    this.#outbound = undefined;
    // A flush that the store keeps waiting is cut off when its connections are closed; its rows are
    // in the journal.
    if (!await this.#within(outbound.stop(), LAST_FLUSH_MS)) {
      outbound.giveUp();
      this.parts.log.warn("A flush was still under way at the end of the grace time", INCOMPLETE);
      this.#tell("flush given up");
    }
    this.#tell("delivery stopped");
  }

  async #stop(): Promise<void> {
    const { clock, graceMs, log } = this.parts;
    log.info("Shutting down: finishing requests, then flushing", { graceMs, event: "draining" });
    this.#phase = "draining";
    this.#tell("not ready");
    // What a start that is under way opens has to be closed, too; its caller is told how it went.
    await this.#starting?.catch(() => {});
    this.#phase = "draining";
    const grace = new AbortController();
    const flushMs = Math.max(graceMs / 2, graceMs - CLOSING_MS);
    const cancelGrace = clock.setTimeout(() => grace.abort(), flushMs);
    const lameDuckMs = Math.min(LAME_DUCK_MS, graceMs / 10);
    await this.#sleep(lameDuckMs);
    this.#arrivals.stop();
    const outcome = await this.#drainAndFinish(grace.signal, graceMs - lameDuckMs);
    this.#tell(outcome === "drained" ? "drained" : "not drained");
    await this.stopDelivery();
    this.#intake.stop();
    this.#tell("intake stopped");
    cancelGrace();
    await this.#closeAll();
  }

  /**
   * Drains until both the requests under way and what waits are at an end, as requests may wait for
   * a flush, and new entries may come of them.
   */
  async #drainAndFinish(grace: AbortSignal, limitMs: number): Promise<DrainOutcome> {
    let isFinished = false;
    const finishing = this.#finishRequests(limitMs).then(() => isFinished = true);
    let outcome: DrainOutcome;
    do {
      outcome = await this.#drain(grace);
      await this.#within(finishing, DRAIN_POLL_MS);
    } while (!isFinished && outcome === "drained");
    if (outcome !== "drained") {
      await this.stopDelivery();
      this.#intake.waitNoLonger();
    }
    await finishing;
    // The last requests may have written, so that this drains once more.
    return outcome === "drained" ? await this.#drain(grace) : outcome;
  }

  #drain(grace: AbortSignal): Promise<DrainOutcome> {
    return this.#outbound?.drain(grace) ?? Promise.resolve("drained");
  }

  /**
   * Waits for the front, which an idle connection can keep from ever being done: it has no more
   * than its time. Never rejects: whatever the front does, all behind it is to be
   * flushed and closed.
   */
  async #finishRequests(limitMs: number): Promise<void> {
    const { front, log } = this.parts;
    this.#isListening = false;
    try {
      if (await this.#within(front.close(), limitMs)) return this.#tell("requests finished");
      log.warn("Requests were still open at the end of the grace time", INCOMPLETE);
    } catch (error) {
      log.error("The listener could not be closed", { error, ...INCOMPLETE });
    }
    this.#tell("requests given up");
  }

  async #listen(): Promise<string> {
    const url = await this.parts.front.listen();
    this.#isListening = true;
    this.#tell("listening");
    return url;
  }

  async #openJournal(): Promise<CacheNote> {
    const { openJournal, openCacheNote, admitStore, cache } = this.parts;
    const journal = this.#journal = await openJournal(this.#intake);
    this.#intake.attach(journal);
    this.#closing.add("journal", () => journal.close());
    this.#tell("journal open");
    const note = await openCacheNote();
    if (!note.found.current) cache.distrustAll();
    this.#closing.add("cache note", () => this.#writeNote(note));
    await admitStore?.();
    this.#tell("store admitted");
    this.#forwarding = await this.parts.openForwarding?.(journal);
    return note;
  }

  /**
   * Writes the cache note. A failure is no reason not to stop in order, as without the note the
   * next start only believes no copies.
   */
  async #writeNote(note: CacheNote): Promise<void> {
    const { cache, namespace, log } = this.parts;
    try {
      await note.close({ current: cache.current, identity: namespace?.known });
    } catch (error) {
      const told = { error, event: "cache-note-failed" } as const;
      log.warn("The data directory does not take what is known of the cache", told);
    }
  }

  #startAttendants(note: CacheNote): void {
    const { namespace, attendants = [] } = this.parts;
    namespace?.start(note.found.identity);
    for (const attendant of attendants) attendant.start();
    this.#closing.add("attendants", async () => {
      namespace?.stop();
      for (const attendant of attendants) await attendant.stop();
    });
  }

  get #openedJournal(): JournalPorts {
    if (this.#journal === undefined) throw new Error("The journal is not open");
    return this.#journal;
  }

  #reader(): Reader {
    const { cache, lastKnown, store, metrics, onStoreRefuses } = this.parts;
    const { pending } = this.#intake;
    return new Reader({
      ...{ pending, cache, lastKnown, store, counts: metrics.reads },
      intake: this.#openedJournal,
      arrivals: this.#arrivals,
      ...(onStoreRefuses && { onStoreRefuses }),
    });
  }

  async #closeAll(): Promise<void> {
    const { log } = this.parts;
    const { depth: left, failure } = this.status ?? { depth: 0 };
    if (failure !== undefined && left > 0) {
      log.error("Accepted writes did not reach the store, and the journal has failed", {
        ...{ writes: left, failure },
        event: "journal-failed",
      });
    }
    const firstFailure = await this.#closing.closeAll();
    log.info("Stopped", { leftInJournal: left, event: "stopped" });
    this.#tell("stopped");
    if (firstFailure !== undefined) throw firstFailure.error;
  }

  #tell(event: ServiceEvent): void {
    this.parts.observe?.(event);
  }

  #within(work: Promise<unknown>, limitMs: number): Promise<boolean> {
    return endsWithin(work, limitMs, this.parts.clock);
  }

  #sleep(forMs: number): Promise<void> {
    return new Promise((resolve) => this.parts.clock.setTimeout(resolve, forMs));
  }
}
