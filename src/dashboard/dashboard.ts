/**
 * Watches this instance once a second, and says what it sees to those who look: by a stream of
 * events, or to each question. Nobody looking, it keeps the last hour and leaves a note for other
 * instances; neither the store nor a disk is asked for that.
 */
import type { Clock } from "../ports/clock.ts";
import type { DeadLetters } from "../ports/dead_letters.ts";
import type { InstanceBoard } from "../ports/instance_board.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { type Current, factsOf, type Setup, snapshotOf, summaryOf } from "./compose.ts";
import { Notes } from "./notes.ts";
import { Observed } from "./observed.ts";
import { type ReadMetrics, takeReading } from "./readings.ts";
import { Ring } from "./ring.ts";
import { StoreProbe } from "./store_probe.ts";
import type { InstanceSummary, Snapshot, Verdict } from "./snapshot.ts";
import { Judge } from "./verdict.ts";
import { Viewers } from "./viewers.ts";

interface DashboardParts {
  readonly setup: Setup;
  /** It says how it stands at this moment, without a wait. */
  readonly current: () => Current;
  readonly metrics: ReadMetrics & Pick<Metrics, "viewers">;
  /** It resolves when the store answers. */
  readonly ping: () => Promise<void>;
  readonly deadLetters: Pick<DeadLetters, "count" | "reasons">;
  readonly board: InstanceBoard;
  readonly clock: Clock;
  readonly log: Pick<Log, "error" | "warn">;
}

const TICK_MS = 1_000;
/** Who asked now and then is taken to watch for so long. */
const POLL_LIFE_MS = 5_000;
const RECONNECT_MS = 2_000;
const HEARTBEAT_TICKS = 15;

export class Dashboard {
  readonly #observed = new Observed();
  readonly #ring = new Ring();
  readonly #judge = new Judge();
  readonly #viewers = new Viewers();
  readonly #probe: StoreProbe;
  readonly #notes: Notes;
  readonly #onFault: (error: unknown) => void;
  readonly #encoder = new TextEncoder();
  #verdicts: readonly Verdict[] = [];
  #polledMs = -Infinity;
  #frame = 0;
  /** What was made of this frame for all who look. */
  #made: { snapshot?: string; history?: string } = {};
  #ticking: Promise<void> | undefined;
  #stopTicking: (() => void) | undefined;

  constructor(private readonly parts: DashboardParts) {
    const { ping, deadLetters: letters, board, clock, log } = parts;
    this.#probe = new StoreProbe({ ping, letters }, clock);
    this.#notes = new Notes(
      board,
      clock,
      (error) =>
        log.warn("Pages of instances do not show each other: Redis refuses that", {
          event: "board-refused",
          error,
        }),
    );
    this.#onFault = limitRate(
      clock,
      FAULT_LOG_INTERVAL_MS,
      (heldBack, error) =>
        log.error("The dashboard could not be brought up to date", {
          event: "dashboard-failed",
          heldBack,
          error,
        }),
    );
  }

  start(): void {
    this.#stopTicking ??= this.parts.clock.setInterval(() => void this.#tick(), TICK_MS);
    void this.#tick();
  }

  /** Ends all streams at once, and takes the note down. */
  async stop(): Promise<void> {
    this.#stopTicking?.();
    this.#viewers.close();
    this.#countViewers();
    await this.#ticking;
    await this.#notes.close();
  }

  /** @throws AppError `too-many-viewers` */
  async watch(): Promise<ReadableStream<Uint8Array>> {
    await this.#lookAtOnce();
    const opening = `retry: ${RECONNECT_MS}\n: one event a second\n\n` +
      this.#event("history", this.#history) + this.#event("snapshot", this.#snapshot);
    const stream = this.#viewers.add(this.#encoder.encode(opening));
    this.#countViewers();
    return stream;
  }

  /** Returns what is known now as JSON, for who asks now and then. */
  async answer(withHistory: boolean): Promise<string> {
    this.#polledMs = this.parts.clock.monotonicMs();
    await this.#lookAtOnce();
    const history = withHistory ? `"history":${this.#history},` : "";
    return `{${history}"snapshot":${this.#snapshot}}`;
  }

  get #isWatched(): boolean {
    return this.#viewers.size > 0 ||
      this.parts.clock.monotonicMs() - this.#polledMs < POLL_LIFE_MS;
  }

  /** Who comes first does not wait for the next second to see more than what is always kept. */
  async #lookAtOnce(): Promise<void> {
    const isFirst = this.#probe.answers === undefined && this.#mayAskStore;
    if (this.#observed.isEmpty) await this.#tick();
    if (!isFirst) return;
    await Promise.all([this.#probe.askAndWait(), this.#exchange(true)]);
    this.#judgeNow();
  }

  get #mayAskStore(): boolean {
    const { phase } = this.parts.current();
    return phase === "serving" || phase === "draining";
  }

  #tick(): Promise<void> {
    return this.#ticking ??= this.#look().catch(this.#onFault)
      .finally(() => this.#ticking = undefined);
  }

  async #look(): Promise<void> {
    const { metrics, clock, current } = this.parts;
    const times = { atMs: clock.now(), monotonicMs: clock.monotonicMs() };
    this.#observed.add(await takeReading(metrics, current().queue, times));
    this.#judgeNow();
    this.#ring.add(this.#observed.moment(this.#verdicts[0]!.level));
    this.#countViewers();
    const isWatched = this.#isWatched;
    if (this.#mayAskStore) {
      if (isWatched) this.#probe.ask();
      void this.#exchange(isWatched);
    }
    if (this.#viewers.size > 0) this.#send();
  }

  #judgeNow(): void {
    this.#frame++;
    this.#made = {};
    this.#verdicts = this.#judge.judge(factsOf(this.#known, this.parts.clock.now()));
  }

  get #known() {
    const { setup, current } = this.parts;
    return {
      setup,
      current: current(),
      observed: this.#observed,
      probe: this.#probe,
      notes: this.#notes,
    };
  }

  get #own(): InstanceSummary {
    return summaryOf(this.#known, this.#verdicts);
  }

  async #exchange(isWatched: boolean): Promise<void> {
    await this.#notes.exchange(this.#own, isWatched);
  }

  #send(): void {
    const heartbeat = this.#frame % HEARTBEAT_TICKS === 0 ? ": still here\n\n" : "";
    const event = heartbeat + this.#event("snapshot", this.#snapshot);
    this.#viewers.send(this.#encoder.encode(event));
  }

  #countViewers(): void {
    this.parts.metrics.viewers.set(this.#viewers.size);
  }

  #event(name: "history" | "snapshot", json: string): string {
    return `id: ${this.#frame}\nevent: ${name}\ndata: ${json}\n\n`;
  }

  get #snapshot(): string {
    const make = (): Snapshot => snapshotOf(this.#known, this.#verdicts, this.#own);
    return this.#made.snapshot ??= JSON.stringify(make());
  }

  get #history(): string {
    return this.#made.history ??= JSON.stringify(this.#ring.history());
  }
}
