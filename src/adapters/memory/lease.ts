/** These are the lease and the terms of a process that is alone: nobody else could lead. */
import type { Lease, LeaseHolder } from "../../ports/lease.ts";
import type { Term, Terms } from "../../ports/terms.ts";

export class LeaseOfOne implements Lease {
  #since: LeaseHolder | undefined;

  constructor(private readonly now: () => number) {}

  hold(holder: string): Promise<LeaseHolder> {
    return Promise.resolve(this.#since ??= { holder, sinceMs: this.now() });
  }

  release(holder: string): Promise<void> {
    if (this.#since?.holder === holder) this.#since = undefined;
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Nothing of an earlier term can come late: it was of a process that has ended. */
export const TERMS_OF_ONE: Terms = {
  begin: (leader): Promise<Term> => Promise.resolve({ number: 1, leader }),
  confirm: () => Promise.resolve(),
};
