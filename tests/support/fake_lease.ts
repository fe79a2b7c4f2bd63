/** A lease and terms that answer as a test says, and a duty that does what a test says. */
import type { Duty } from "../../src/cluster/duty.ts";
import { TermOverError } from "../../src/errors.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { Lease, LeaseHolder } from "../../src/ports/lease.ts";
import type { Term, Terms } from "../../src/ports/terms.ts";

/** What all instances of a test share. Its clock is theirs. */
export class FakeLease implements Lease {
  held: (LeaseHolder & { readonly endMs: number }) | undefined;
  /** Of each call, what it asked. */
  readonly calls: string[] = [];
  failWith: Error | undefined;
  /** No call is answered until then. */
  silence: Promise<void> | undefined;
  isClosed = false;

  constructor(private readonly clock: Pick<Clock, "monotonicMs" | "now">) {}

  async hold(holder: string, lifeMs: number): Promise<LeaseHolder> {
    this.calls.push(`hold ${holder}`);
    await this.#answer();
    const nowMs = this.clock.monotonicMs();
    const held = this.held;
    if (held !== undefined && held.endMs > nowMs && held.holder !== holder) return held;
    const sinceMs = held?.holder === holder ? held.sinceMs : this.clock.now();
    this.held = { holder, sinceMs, endMs: nowMs + lifeMs };
    return this.held;
  }

  async release(holder: string): Promise<void> {
    this.calls.push(`release ${holder}`);
    await this.#answer();
    if (this.held?.holder === holder) this.held = undefined;
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  /** Another instance has it, for an hour. */
  giveTo(holder: string): void {
    const endMs = this.clock.monotonicMs() + 3_600_000;
    this.held = { holder, sinceMs: this.clock.now(), endMs };
  }

  async #answer(): Promise<void> {
    await this.silence;
    if (this.failWith !== undefined) throw this.failWith;
  }
}

export class FakeTerms implements Terms {
  current: Term = { number: 0, leader: "" };
  failWith: Error | undefined;

  begin(leader: string): Promise<Term> {
    if (this.failWith !== undefined) return Promise.reject(this.failWith);
    return Promise.resolve(this.current = { number: this.current.number + 1, leader });
  }

  confirm({ number, leader }: Term): Promise<void> {
    if (this.failWith !== undefined) return Promise.reject(this.failWith);
    const { current } = this;
    if (number === current.number && leader === current.leader) return Promise.resolve();
    return Promise.reject(new TermOverError(`The term ${number} is over`));
  }
}

export class FakeDuty implements Duty {
  /** The number of the term of each step that was begun. */
  readonly steps: number[] = [];
  signal: AbortSignal | undefined;
  work: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();

  constructor(readonly name: string, readonly intervalMs: number) {}

  run({ number }: Term, signal: AbortSignal): Promise<void> {
    this.steps.push(number);
    this.signal = signal;
    return this.work(signal);
  }
}
