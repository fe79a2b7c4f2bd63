/** Lets the service into a database only where that is the one its data directory belongs to. */
import { StoreRefusesError, StoreUnavailableError } from "../errors.ts";
import { type StoreBinding, WrongStoreError } from "./store_binding.ts";
import type { Log } from "../telemetry/log.ts";

export class StoreGate {
  /** It is known once the directory is locked; nobody is let in before. */
  binding: StoreBinding | undefined;

  /**
   * Lets nobody in before the binding is known.
   * @param place see `storePlace`
   */
  constructor(private readonly place: string, private readonly log: Pick<Log, "error">) {}

  get expected(): string | undefined {
    return this.binding?.identity;
  }

  /**
   * Lets the service into a database, or not.
   * @throws StoreRefusesError caused by a WrongStoreError; StoreUnavailableError as long as nobody
   *   knows which store is meant
   */
  admit(found: string | undefined): Promise<void> {
    return Promise.resolve().then(() => {
      if (this.binding === undefined) {
        throw new StoreUnavailableError(
          "The data directory is being opened: no store is asked before",
        );
      }
      try {
        this.binding.admit(found, this.place);
      } catch (error) {
        if (!(error instanceof WrongStoreError)) throw error;
        throw new StoreRefusesError("wrong-store", error.message, { cause: error });
      }
    });
  }

  async bind(identity: string): Promise<void> {
    let another: boolean | undefined;
    try {
      another = await this.binding?.confirm(identity, this.place);
    } catch (error) {
      if (error instanceof WrongStoreError) {
        throw new StoreRefusesError("wrong-store", error.message, { cause: error });
      }
      // That the directory may be gone is a reason to get into the database what it held, not to
      // keep it out.
      this.log.error("The data directory cannot take note of its store", {
        event: "store-unbound",
        ...{ identity, error },
      });
    }
    if (!another) return;
    this.log.error(
      "The database does not call itself as before, though it is at the same place: it was " +
        "made anew (what the former one had is not in it), or its table dsproxy_store was",
      { event: "store-changed", place: this.place, identity },
    );
  }

  /**
   * Finds out whether a store that answers within `limitMs` is the one that is meant. One that does
   * not answer is looked at when it does.
   * @param ask any call of the store.
   * @throws WrongStoreError
   */
  async check(ask: () => Promise<void>): Promise<void> {
    const { binding, place } = this;
    if (binding === undefined || binding.identity === undefined || binding.isAt(place)) return;
    await ask().catch((error) => {
      if (error instanceof StoreRefusesError && error.cause instanceof WrongStoreError) {
        throw error.cause;
      }
    });
  }
}
