/**
 * Puts circuit breakers in front of the ports of a store. Look-ups have a breaker of their own:
 * where they take too long, on a large table whose index is still being built, flushes are to go
 * on. `ping` and `close` have none: a ping is a question about the store, and a close must always
 * get through.
 */
import type { Entry } from "../domain.ts";
import {
  ForeignGroupError,
  GroupsOverlapError,
  RejectedRowError,
  StoreNotAskedError,
  StoreWentBackError,
} from "../errors.ts";
import type { DeadLetterSweeps, Swept } from "../ports/dead_letter_sweeps.ts";
import type {
  DeadLetter,
  DeadLetters,
  LetterSurvey,
  Reason,
  RefusedEntry,
} from "../ports/dead_letters.ts";
import type { Applied, EntryGroup, Folded, GroupStore } from "../ports/group_store.ts";
import type { PutResult, Store, StorePorts } from "../ports/store.ts";
import type { Identity, StoreIdentity } from "../ports/store_identity.ts";
import { type Breaker, BreakerOpenError, CLOSED } from "./breaker.ts";

interface StoreBreakers {
  /** Guards whatever is not a look-up. */
  readonly store: Breaker;
  /** Guards look-ups. */
  readonly reads: Breaker;
}

/** A call that a breaker guards. */
export type StoreCall =
  | Exclude<keyof Store, "ping" | "close">
  | keyof StoreIdentity
  | keyof DeadLetters
  | keyof DeadLetterSweeps
  | keyof GroupStore;

/**
 * @param onFault is told of each call that was made and failed, whether its caller tells or not;
 * with `isOpen` its breaker is, which is told already
 */
export function guardStore(
  { store, identity, deadLetters, sweeps, groups, ...ofLeader }: StorePorts,
  breakers: StoreBreakers,
  onFault: (call: StoreCall, error: unknown, isOpen: boolean) => void,
): StorePorts {
  const guard = new StoreGuard(breakers, onFault);
  return {
    store: new GuardedStore(store, guard),
    identity: new GuardedStoreIdentity(identity, guard),
    deadLetters: new GuardedDeadLetters(deadLetters, guard),
    sweeps: new GuardedDeadLetterSweeps(sweeps, guard),
    ...(groups !== undefined && { groups: new GuardedGroupStore(groups, guard) }),
    // A leader's duties are nobody's request: they fail, are told, and are tried again by themselves.
    ...ofLeader,
  };
}

/** A row refused, a mark that is lower, an overlap, are what was asked for, and no faults. */
const ANSWERS = [RejectedRowError, StoreWentBackError, GroupsOverlapError, ForeignGroupError];

class StoreGuard {
  constructor(
    private readonly breakers: StoreBreakers,
    private readonly onFault: (call: StoreCall, error: unknown, isOpen: boolean) => void,
  ) {}

  /**
   * Makes the call behind its breaker.
   * @throws StoreNotAskedError when the call is not made; whatever `work` throws when it is
   */
  async call<T>(call: StoreCall, work: () => Promise<T>): Promise<T> {
    const breaker = call === "latest" ? this.breakers.reads : this.breakers.store;
    try {
      return await breaker.run(work);
    } catch (error) {
      if (error instanceof BreakerOpenError) {
        throw new StoreNotAskedError(error.message, undefined, { cause: error.cause });
      }
      if (!ANSWERS.some((answer) => error instanceof answer)) {
        this.onFault(call, error, breaker.state !== CLOSED);
      }
      throw error;
    }
  }
}

class GuardedStore implements Store {
  constructor(private readonly store: Store, private readonly guard: StoreGuard) {}

  open(source: string): Promise<number> {
    return this.guard.call("open", () => this.store.open(source));
  }

  put(...what: Parameters<Store["put"]>): Promise<PutResult> {
    return this.guard.call("put", () => this.store.put(...what));
  }

  marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.guard.call("marks", () => this.store.marks(sources));
  }

  latest(userId: string): Promise<Entry | undefined> {
    return this.guard.call("latest", () => this.store.latest(userId));
  }

  ping(): Promise<void> {
    return this.store.ping();
  }

  close(): Promise<void> {
    return this.store.close();
  }
}

class GuardedStoreIdentity implements StoreIdentity {
  constructor(private readonly identity: StoreIdentity, private readonly guard: StoreGuard) {}

  identify(): Promise<Identity> {
    return this.guard.call("identify", () => this.identity.identify());
  }

  outdateCopies(): Promise<Identity> {
    return this.guard.call("outdateCopies", () => this.identity.outdateCopies());
  }
}

class GuardedDeadLetters implements DeadLetters {
  constructor(private readonly letters: DeadLetters, private readonly guard: StoreGuard) {}

  count(): Promise<number> {
    return this.guard.call("count", () => this.letters.count());
  }

  survey(...what: Parameters<DeadLetters["survey"]>): Promise<LetterSurvey> {
    return this.guard.call("survey", () => this.letters.survey(...what));
  }

  list(...what: Parameters<DeadLetters["list"]>): Promise<DeadLetter[]> {
    return this.guard.call("list", () => this.letters.list(...what));
  }

  reasons(): Promise<readonly Reason[]> {
    return this.guard.call("reasons", () => this.letters.reasons());
  }

  find(id: string): Promise<DeadLetter | undefined> {
    return this.guard.call("find", () => this.letters.find(id));
  }

  replay(id: string): Promise<Entry | undefined> {
    return this.guard.call("replay", () => this.letters.replay(id));
  }

  discard(id: string): Promise<boolean> {
    return this.guard.call("discard", () => this.letters.discard(id));
  }
}

class GuardedDeadLetterSweeps implements DeadLetterSweeps {
  constructor(private readonly sweeps: DeadLetterSweeps, private readonly guard: StoreGuard) {}

  replaySome(...what: Parameters<DeadLetterSweeps["replaySome"]>): Promise<Swept> {
    return this.guard.call("replaySome", () => this.sweeps.replaySome(...what));
  }

  discardSome(...what: Parameters<DeadLetterSweeps["discardSome"]>): Promise<Swept> {
    return this.guard.call("discardSome", () => this.sweeps.discardSome(...what));
  }
}

class GuardedGroupStore implements GroupStore {
  constructor(private readonly groups: GroupStore, private readonly guard: StoreGuard) {}

  apply(groups: readonly EntryGroup[]): Promise<Applied> {
    return this.guard.call("apply", () => this.groups.apply(groups));
  }

  dead(...what: Parameters<GroupStore["dead"]>): Promise<readonly RefusedEntry[]> {
    return this.guard.call("dead", () => this.groups.dead(...what));
  }

  fold(...what: Parameters<GroupStore["fold"]>): Promise<Folded> {
    return this.guard.call("fold", () => this.groups.fold(...what));
  }
}
