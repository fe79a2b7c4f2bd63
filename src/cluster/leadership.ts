/**
 * Lets one instance of all lead: it asks for the lease, prolongs it at a third of its life, and does
 * the leader's duties for as long as it has it. It counts the lease's end from before it asked, by
 * the clock that nobody sets. Nothing else of the service depends on it.
 */
import { Backoff } from "../backoff.ts";
import { endsWithin, lateError } from "../deadline.ts";
import { reasonOf, TermOverError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Lease, LeaseHolder } from "../ports/lease.ts";
import type { Terms } from "../ports/terms.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Duty } from "./duty.ts";
import { type Authority, Office } from "./office.ts";
import { pause } from "./pause.ts";
import { Rounds } from "./rounds.ts";

/** After a leader is gone nobody leads for so long, and a third more; duties can wait for that. */
const LIFE_MS = 10_000;
/** A step that is under way at the stop may take so long to end … */
const LAST_STEP_MS = 1_000;
/** … and giving the lease back so long. It ends by itself, too. */
const LAST_CALL_MS = 500;
/** Who could not lead, or was overtaken, leaves it to others, longer and longer, up to two lives … */
const LONGEST_REST_LIVES = 2;
/** … until it has led for so many lives. */
const LASTING_LIVES = 6;
/** Without them nobody would find out that two of them ask two different servers. */
const OVERTAKEN =
  "Another instance leads though this one had the lease: Redis was emptied, or not " +
  "all instances have the same CACHE, REDIS_URL and CACHE_PREFIX";

interface LeadershipParts {
  readonly lease: Lease;
  readonly terms: Terms;
  readonly duties: readonly Duty[];
  /** It names this start of this instance, as nobody else is named. It is asked at the start. */
  readonly name: () => string;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout" | "now">;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
  readonly log: Pick<Log, "info" | "warn">;
  readonly metrics: Pick<Metrics, "dutySteps">;
  /** The lease lives for so long after it was taken or prolonged; the default is 10 s. */
  readonly lifeMs?: number;
}

export class Leadership {
  readonly #lifeMs: number;
  readonly #rest: Backoff;
  readonly #rounds: Rounds;
  readonly #stop = new AbortController();
  #name = "";
  /** How often the lease was given back. */
  #releases = 0;
  #office: Office | undefined;
  /** The steps of the last office, which may still be under way after its end. */
  #working: Promise<void> | undefined;
  #known: LeaseHolder | undefined;
  /** Why the lease could not be asked for, or the term not be begun, the last time. */
  #failure: string | undefined;
  /** A step was told by the store that another leads: the next turn leaves it to them. */
  #overtaken: { readonly error: unknown } | undefined;
  #living: Promise<void> | undefined;

  constructor(private readonly parts: LeadershipParts) {
    const { clock, duties, random, lifeMs = LIFE_MS } = parts;
    this.#lifeMs = lifeMs;
    this.#rest = new Backoff({ firstMs: lifeMs / 3, maxMs: LONGEST_REST_LIVES * lifeMs, random });
    this.#rounds = new Rounds(duties, { ...parts, clock });
  }

  get leads(): boolean {
    return this.#office?.goesOn() ?? false;
  }

  /** Who leads, as far as this instance knows; undefined where it does not. */
  get leader(): { readonly name: string; readonly sinceMs: number } | undefined {
    const office = this.#office;
    if (office?.goesOn()) return { name: this.#name, sinceMs: office.sinceMs };
    const known = this.#known;
    if (this.#failure !== undefined || known === undefined) return undefined;
    if (known.holder === this.#holder) return undefined;
    return { name: known.holder, sinceMs: known.sinceMs };
  }

  /** It says for people who leads, and since when. */
  get description(): string {
    const office = this.#office;
    if (office?.goesOn()) {
      return `this instance, ${this.#name}, since ${timeOf(office.sinceMs)} ` +
        `(term ${office.term.number})`;
    }
    if (this.#failure !== undefined) return `nobody is known to lead: ${this.#failure}`;
    const { leader } = this;
    return leader === undefined
      ? "nobody is known to lead"
      : `${leader.name}, since ${timeOf(leader.sinceMs)}`;
  }

  start(): void {
    this.#name = this.parts.name();
    this.#living = this.#live();
  }

  /** Ends the step under way, and lets another lead. */
  async stop(): Promise<void> {
    const { clock, lease } = this.parts;
    this.#stop.abort();
    this.#leave("it stops");
    // It waits for no answer any more.
    await this.#living;
    if (this.#working !== undefined) await endsWithin(this.#working, LAST_STEP_MS, clock);
    if (this.#living !== undefined) await this.#release();
    await lease.close();
  }

  /**
   * It is another one after each release: one that arrives late must not give back what was taken
   * since.
   */
  get #holder(): string {
    return this.#releases === 0 ? this.#name : `${this.#name}#${this.#releases + 1}`;
  }

  get #thirdMs(): number {
    return Math.floor(this.#lifeMs / 3);
  }

  async #live(): Promise<void> {
    const { clock } = this.parts;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const dueMs = clock.monotonicMs() + this.#thirdMs;
      const restMs = await this.#turn();
      await pause(Math.max(restMs, dueMs - clock.monotonicMs()), clock, signal);
    }
  }

  /** @returns for how long at least this instance is to leave it to others */
  async #turn(): Promise<number> {
    // A step that does not end, though it was told to, would be one of two at the same time.
    if (this.#office === undefined && this.#working !== undefined) return 0;
    try {
      const overtaken = this.#overtaken;
      this.#overtaken = undefined;
      if (overtaken !== undefined) throw overtaken.error;
      await this.#holdLease();
      await this.#confirmTerm();
      this.#recovered();
      return 0;
    } catch (error) {
      return await this.#failed(error);
    }
  }

  async #holdLease(): Promise<void> {
    const { lease, clock } = this.parts;
    const askedMs = clock.monotonicMs();
    const known = await this.#answer(lease.hold(this.#holder, this.#lifeMs), "The lease");
    this.#know(known);
    const endMs = askedMs + this.#lifeMs;
    if (known.holder !== this.#holder) this.#leave(`the lease is that of ${known.holder}`);
    else if (this.#office?.goesOn()) this.#office.prolong("lease", endMs);
    else if (this.#working === undefined) await this.#begin(endMs);
  }

  async #begin(endMs: number): Promise<void> {
    const { terms, clock, log } = this.parts;
    const term = await this.#answer(terms.begin(this.#name), "The store");
    if (clock.monotonicMs() >= endMs || this.#stop.signal.aborted) return;
    const onLate = (authority: Authority) => this.#left(REASONS[authority]);
    const office = this.#office = new Office(term, clock.now(), endMs, clock, onLate);
    log.info("This instance leads", {
      event: "leader-gained",
      ...{ leader: this.#name, term: term.number },
    });
    this.#working = this.#work(office).finally(() => this.#working = undefined);
  }

  async #work(office: Office): Promise<void> {
    try {
      await this.#rounds.run(office.term, office.signal, () => office.goesOn());
    } catch (error) {
      // What a step is told that outlives its office is no news.
      if (office !== this.#office) return;
      this.#overtaken = { error };
      this.#leave(reasonOf(error));
    }
  }

  /** A leader that does not reach the store, or is one no more, is of no use to anybody. */
  async #confirmTerm(): Promise<void> {
    const office = this.#office;
    if (office === undefined) return;
    const askedMs = this.parts.clock.monotonicMs();
    try {
      await this.#answer(this.parts.terms.confirm(office.term), "The store");
      if (office.goesOn()) office.prolong("store", askedMs + this.#lifeMs);
    } catch (error) {
      // The store may be back before the office ends.
      if (error instanceof TermOverError || !office.goesOn()) throw error;
    }
  }

  #know(known: LeaseHolder): void {
    const before = this.#known?.holder;
    this.#known = known;
    if (known.holder === before || known.holder === this.#holder) return;
    this.parts.log.info("Another instance leads", {
      event: "leader-other",
      leader: known.holder,
      since: timeOf(known.sinceMs),
    });
  }

  #recovered(): void {
    this.#failure = undefined;
    const ledMs = this.parts.clock.monotonicMs() - (this.#office?.begunMs ?? Infinity);
    if (ledMs > LASTING_LIVES * this.#lifeMs) this.#rest.reset();
  }

  /** @returns for how long this instance is to leave it to others */
  async #failed(error: unknown): Promise<number> {
    if (this.#stop.signal.aborted) return 0;
    const isOver = error instanceof TermOverError;
    if (isOver) this.#leave(error.message);
    if (this.#failure === undefined) {
      this.parts.log.warn(
        isOver ? OVERTAKEN : "This instance cannot lead, nor say who does; it is tried again",
        { event: "leader-unknown", error },
      );
    }
    this.#failure = reasonOf(error);
    // Its own office goes on until its end, as the lease may be prolonged until then.
    if (this.#office?.goesOn()) return 0;
    // With the lease and without a term it would keep others from leading.
    if (this.#known?.holder === this.#holder) await this.#release();
    this.#known = undefined;
    return this.#thirdMs + this.#rest.nextMs();
  }

  #leave(reason: string): void {
    if (this.#office === undefined) return;
    this.#office.end();
    this.#left(reason);
  }

  #left(reason: string): void {
    const office = this.#office;
    this.#office = undefined;
    const { log } = this.parts;
    const tell = this.#stop.signal.aborted ? log.info.bind(log) : log.warn.bind(log);
    const event = "leader-lost";
    const fields = { event, leader: this.#name, term: office?.term.number, reason } as const;
    tell("This instance leads no more", fields);
  }

  async #release(): Promise<void> {
    const holder = this.#holder;
    this.#releases++;
    try {
      await this.#answer(this.parts.lease.release(holder), "The lease", LAST_CALL_MS);
    } catch {
      // It ends by itself; why it cannot be asked was told, or is told by whoever asks next.
    }
  }

  /**
   * Settles as `call` does, which has a third of a life, as each renewal has, or rejects. Nothing
   * is waited for once this stops, but what is done at the end, which has a limit of its own.
   */
  async #answer<T>(call: Promise<T>, what: string, lastMs?: number): Promise<T> {
    const limitMs = lastMs ?? this.#thirdMs;
    const answered = new AbortController();
    const settled = call.finally(() => answered.abort());
    settled.catch(() => {}); // It may come too late for anybody to hear of it.
    const { signal } = answered;
    const ends = lastMs === undefined ? AbortSignal.any([signal, this.#stop.signal]) : signal;
    await pause(limitMs, this.parts.clock, ends);
    if (signal.aborted) return await settled;
    throw lateError(what, limitMs);
  }
}

const REASONS: Readonly<Record<Authority, string>> = {
  lease: "the lease could not be prolonged in time",
  store: "the store did not answer in time whether the term goes on",
};

function timeOf(unixMs: number): string {
  return new Date(unixMs).toISOString();
}
