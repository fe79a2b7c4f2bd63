/** Publishes to the quorum queue, and waits until a majority of its servers has it on disk. */
import { DeadlineError, withDeadline } from "../../deadline.ts";
import { BrokerRefusesError, BrokerUnavailableError, reasonOf } from "../../errors.ts";
import type { BrokerMessage, BrokerWatcher, Publisher } from "../../ports/broker.ts";
import { brokerError } from "./faults.ts";
import { CALL_TIMEOUT_MS, type RabbitmqOptions } from "./link.ts";
import { Outlet, UnroutableError } from "./outlet.ts";

export class RabbitmqPublisher implements Publisher {
  /** All calls wait for the same one, so that they go on in their order. */
  #ready: Promise<Outlet> | undefined;
  /** The one that is there, or is just being opened. */
  #present: Outlet | undefined;
  #isDeclaring = false;
  #nextHost = 0;
  #isClosed = false;

  constructor(private readonly options: RabbitmqOptions, private readonly watcher: BrokerWatcher) {}

  publish({ bytes }: BrokerMessage): Promise<void> {
    return this.#call(async (outlet) => {
      try {
        await outlet.send(bytes);
      } catch (error) {
        if (error instanceof UnroutableError) this.#declareAgain(outlet);
        throw error;
      }
    });
  }

  ping(): Promise<void> {
    return this.#call((outlet) => outlet.declare());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#present?.close(closedError());
    await this.#ready?.catch(() => {}); // Whoever called has been told.
  }

  async #call(work: (outlet: Outlet) => Promise<void>): Promise<void> {
    if (this.#isClosed) throw closedError();
    let used: Outlet | undefined;
    let isOver = false;
    const steps = async () => {
      const outlet = await (this.#ready ??= this.#open());
      if (isOver) return;
      used = outlet;
      await work(outlet);
    };
    try {
      await withDeadline(steps(), this.options.callTimeoutMs ?? CALL_TIMEOUT_MS, "the server");
    } catch (error) {
      isOver = true;
      // What waits in memory for a server that does not answer ends here: it would be ever more.
      if (error instanceof DeadlineError) used?.cut(error);
      throw this.#isClosed ? closedError() : brokerError(error, this.options);
    }
  }

  #open(): Promise<Outlet> {
    const opening = this.#tryHosts();
    opening.catch(() => {
      if (this.#ready === opening) this.#ready = undefined;
    });
    return opening;
  }

  async #tryHosts(): Promise<Outlet> {
    const { hosts } = this.options;
    const errors: Error[] = [];
    for (let tries = 0; tries < hosts.length && !this.#isClosed; tries++) {
      const host = hosts[this.#nextHost]!;
      this.#nextHost = (this.#nextHost + 1) % hosts.length;
      const outlet = this.#present = new Outlet(this.options, host);
      try {
        await outlet.open();
        outlet.over.then((reason) => this.#lost(outlet, reason));
        return outlet;
      } catch (error) {
        outlet.cut(error);
        errors.push(brokerError(error, { ...this.options, hosts: [host] }));
      }
    }
    throw errors.find((error) => error instanceof BrokerRefusesError) ??
      new BrokerUnavailableError(errors.map(reasonOf).join("; "));
  }

  #lost(outlet: Outlet, reason: unknown): void {
    if (this.#present === outlet) this.#ready = undefined;
    if (!this.#isClosed) this.watcher.onFault(brokerError(reason, this.options));
  }

  /** What is published meanwhile waits for it. */
  #declareAgain(outlet: Outlet): void {
    if (this.#isDeclaring || this.#present !== outlet) return;
    this.#isDeclaring = true;
    const declared = outlet.declare().then(() => outlet).finally(() => this.#isDeclaring = false);
    declared.catch((error) => outlet.cut(error));
    this.#ready = declared;
  }
}

function closedError(): BrokerUnavailableError {
  return new BrokerUnavailableError("The connection to RabbitMQ was closed");
}
