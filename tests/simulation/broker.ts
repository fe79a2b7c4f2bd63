/**
 * A broker server: it keeps what it has confirmed until a consumer acknowledges it, and is as unkind
 * as brokers are otherwise. It repeats, reorders, gives again what a lost consumer had, and forgets
 * in a restart what it has not confirmed.
 */
import { BrokerUnavailableError, reasonOf } from "../../src/errors.ts";
import { decodeGroup } from "../../src/forwarding/group_message.ts";
import type { Broker } from "../../src/parts.ts";
import type { Consumer, Publisher, Received } from "../../src/ports/broker.ts";
import type { EntryGroup } from "../../src/ports/group_store.ts";
import type { Layout } from "./layout.ts";
import { groupName } from "./store.ts";
import { SimulatedServer } from "./network.ts";
import type { Process, World } from "./world.ts";

interface BrokerWatcher {
  /** A living publisher is told that this is safe. */
  confirmed(group: EntryGroup): void;
  /** A worker can make nothing of a message. */
  buried(reason: string): void;
}

interface Message {
  readonly bytes: Uint8Array;
  /** Its publisher was not told that it is here, and never will be. */
  isUnconfirmed: boolean;
}

/** A message is with a consumer, by one connection. */
interface Given {
  readonly message: Message;
}

interface Subscription {
  readonly process: Process;
  readonly onReceived: (received: Received) => void;
  readonly given: Set<Given>;
  isConnected: boolean;
  isClosed: boolean;
}

const TYPICAL_MS = 2;
const DEADLINE_MS = 5_000;
const LOOK_AGAIN_MS = 300;
/** Each time that a consumer tells something, while the weather is so. */
const CUT = 0.02;
/** Of what it did not confirm, in a restart. */
const FORGOTTEN = 0.8;
/** After so long at most it takes a silent consumer for lost. */
const SILENCE_MAX_MS = 2_000;

export class SimulatedBroker extends SimulatedServer {
  /** Of the messages that it confirms: none is there after all. */
  burns: number;
  /** Connections of consumers are cut now and then. */
  cutsConsumers = false;
  /** What it had confirmed is not there any more. */
  hasLost = false;
  #ready: Message[] = [];
  readonly #subscriptions = new Set<Subscription>();
  #looksAgain = false;
  /** Of each source, what living publishers were told. */
  readonly #confirmed = new Map<string, number>();

  constructor(
    world: World,
    private readonly layout: NonNullable<Layout["broker"]>,
    private readonly watcher: BrokerWatcher,
  ) {
    super(world, "broker", TYPICAL_MS, DEADLINE_MS);
    this.burns = layout.burns;
  }

  get batchIntervalMs(): number {
    return this.layout.batchIntervalMs;
  }

  /** Its two ends, as a process is given them. */
  ends(process: Process): Broker {
    return {
      makePublisher: () => this.#publisher(process),
      makeConsumer: () => this.#consumer(process),
    };
  }

  #publisher(process: Process): Publisher {
    let closed = false;
    return {
      publish: ({ bytes }) => {
        if (closed) return Promise.reject(new BrokerUnavailableError("The publisher is closed"));
        return this.#publish(process, bytes);
      },
      ping: () => this.call(process, "ping", () => {}),
      close: () => {
        closed = true;
        return Promise.resolve();
      },
    };
  }

  #consumer(process: Process): Consumer {
    let subscription: Subscription | undefined;
    return {
      maxGivenOut: this.layout.unacknowledgedMax,
      start: (onReceived) => {
        subscription = {
          process,
          onReceived,
          given: new Set(),
          isConnected: true,
          isClosed: false,
        };
        this.#subscriptions.add(subscription);
        this.#giveSoon();
      },
      get failure() {
        return subscription?.isConnected === false ? "The connection is lost" : undefined;
      },
      close: async () => {
        if (subscription === undefined) return;
        subscription.isClosed = true;
        await this.world.delay(this.world.random.between(3, 20), "broker closes a consumer");
        this.#lose(subscription);
      },
    };
  }

  confirmedThrough(source: string): number {
    return this.#confirmed.get(source) ?? 0;
  }

  /** It restarts: connections are cut, and what it has confirmed is kept. */
  turnDown(on: boolean): void {
    this.faults.down = on;
    if (!on) return;
    this.#ready = this.#ready.filter(({ isUnconfirmed }) => {
      const isForgotten = isUnconfirmed && this.world.random.chance(FORGOTTEN);
      if (isForgotten) this.world.fault("broker forgot what it had not confirmed");
      return !isForgotten;
    });
    for (const subscription of this.#subscriptions) this.#disconnect(subscription);
  }

  /** A process is gone, which shows only later. */
  died(process: Process): void {
    for (const subscription of this.#subscriptions) {
      if (subscription.process !== process) continue;
      this.world.after(
        this.world.random.between(0, SILENCE_MAX_MS),
        "broker misses a consumer",
        () => this.#lose(subscription),
      );
    }
  }

  async #publish(process: Process, bytes: Uint8Array): Promise<void> {
    const group = decodeGroup(bytes);
    let message: Message | undefined;
    try {
      const what = `publish ${groupName(group)}`;
      await this.call(process, what, () => message = this.#take(bytes));
    } catch (cause) {
      if (message !== undefined) message.isUnconfirmed = true;
      throw new BrokerUnavailableError(reasonOf(cause), { cause });
    }
    this.#confirmed.set(group.source, Math.max(group.last, this.confirmedThrough(group.source)));
    this.watcher.confirmed(group);
  }

  #take(bytes: Uint8Array): Message {
    const { random } = this.world;
    const message = { bytes, isUnconfirmed: false };
    if (random.chance(this.burns)) {
      this.world.fault("broker lost what it confirms");
      this.hasLost = true;
      return message;
    }
    this.#ready.push(message);
    if (random.chance(this.layout.duplicates)) {
      this.world.fault("broker has a message twice");
      this.#ready.push(message);
    }
    this.#giveSoon();
    return message;
  }

  #giveSoon(): void {
    while (this.#ready.length > 0) {
      if (this.faults.down || this.faults.blackHole) return this.#lookAgain();
      const open = [...this.#subscriptions].filter(({ isConnected, isClosed, given }) =>
        isConnected && !isClosed && given.size < this.layout.unacknowledgedMax
      );
      if (open.length === 0) return;
      this.#give(this.world.random.pick(open), this.#next());
    }
  }

  #next(): Message {
    const { random } = this.world;
    const at = random.chance(this.layout.reorders) ? random.below(this.#ready.length) : 0;
    if (at > 0) this.world.fault("broker reorders");
    return this.#ready.splice(at, 1)[0]!;
  }

  #give(subscription: Subscription, message: Message): void {
    const given = { message };
    subscription.given.add(given);
    this.world.after(this.#wayMs(), "broker gives a message", () => {
      const { process, isClosed } = subscription;
      // It is with a consumer that may be dead, or cut off; who is not was closed, and ignores it.
      if (!process.alive || isClosed || !subscription.given.has(given)) return;
      if (this.faults.blackHole) return this.#missLater(subscription);
      subscription.onReceived({
        bytes: message.bytes,
        acknowledge: () => this.#hear(subscription, given, "acknowledged"),
        bury: (reason) => {
          this.watcher.buried(reason);
          this.#hear(subscription, given, "buried");
        },
      });
    });
  }

  #hear(subscription: Subscription, given: Given, what: "acknowledged" | "buried"): void {
    const { world, faults } = this;
    world.after(this.#wayMs(), `broker hears ${what}`, () => {
      if (!subscription.given.has(given)) return world.fault("broker is told too late");
      if (faults.blackHole) return this.#missLater(subscription);
      if (this.cutsConsumers && world.random.chance(CUT)) {
        world.fault("broker cuts a consumer");
        return this.#disconnect(subscription);
      }
      subscription.given.delete(given);
      if (what === "buried") world.fault("broker buried a message");
      this.#giveSoon();
    });
  }

  #missLater(subscription: Subscription): void {
    this.world.after(
      this.world.random.between(0, SILENCE_MAX_MS),
      "broker misses a consumer",
      () => this.#disconnect(subscription),
    );
  }

  /** What it had goes to others, or to it again. */
  #disconnect(subscription: Subscription): void {
    if (!this.#subscriptions.has(subscription) || !subscription.isConnected) return;
    this.#takeBack(subscription);
    this.#connectLater(subscription);
  }

  #connectLater(subscription: Subscription): void {
    this.world.after(this.world.random.between(50, 1_000), "consumer connects again", () => {
      const { process, isClosed } = subscription;
      if (!process.alive || isClosed) return;
      if (this.faults.down || this.faults.blackHole) return this.#connectLater(subscription);
      subscription.isConnected = true;
      this.#giveSoon();
    });
  }

  #lose(subscription: Subscription): void {
    this.#takeBack(subscription);
    this.#subscriptions.delete(subscription);
  }

  #takeBack(subscription: Subscription): void {
    subscription.isConnected = false;
    if (subscription.given.size > 0) this.world.fault("broker gives again");
    this.#ready.unshift(...[...subscription.given].map(({ message }) => message));
    subscription.given.clear();
    this.#giveSoon();
  }

  #lookAgain(): void {
    if (this.#looksAgain) return;
    this.#looksAgain = true;
    this.world.after(LOOK_AGAIN_MS, "broker looks again", () => {
      this.#looksAgain = false;
      this.#giveSoon();
    });
  }

  #wayMs(): number {
    const { random } = this.world;
    return this.faults.slow && random.chance(0.5)
      ? random.between(100, 3_000)
      : random.between(0.1, TYPICAL_MS);
  }
}
