import type { BrokerWatcher, Consumer, Received } from "../../ports/broker.ts";
import { withDeadline } from "../../deadline.ts";
import { BrokerRefusesError } from "../../errors.ts";
import { CALL_TIMEOUT_MS, type KafkaOptions } from "./client.ts";
import { brokerError } from "./faults.ts";
import type { FetchedRecord } from "./fetcher.ts";
import { pause } from "./pause.ts";
import type { Progress } from "./progress.ts";
import { Sender } from "./sender.ts";
import { Session } from "./session.ts";
import { deadTopicOf } from "./topics.ts";
import { Window } from "./window.ts";

/** So many messages are given out that are neither acknowledged nor buried. */
const MAX_GIVEN_OUT = 64;
const BEGIN_AGAIN_AFTER_MS = 1_000;
/** A person has to do something first, and who tries a wrong password often may be shut out. */
const BEGIN_AGAIN_AFTER_REFUSAL_MS = 5_000;
const BURY_AGAIN_AFTER_MS = 1_000;
/** Whoever closes it waits for burials for so long. */
const LAST_BURIALS_MS = 3_000;
/** A reason is for people, and the header of a message is not the place for a long one. */
const MAX_REASON_LENGTH = 1_000;

export class KafkaConsumer implements Consumer {
  readonly maxGivenOut = MAX_GIVEN_OUT;
  readonly #window = new Window(MAX_GIVEN_OUT);
  readonly #dead: Sender;
  readonly #burials = new Set<Promise<void>>();
  /** It gives nothing out any more, and then waits for nothing either. */
  #isClosing = false;
  readonly #closed = new AbortController();
  #failure: string | undefined = "the group of workers was not joined yet";
  #session: Session | undefined;
  #running: Promise<void> | undefined;

  constructor(private readonly options: KafkaOptions, private readonly watcher: BrokerWatcher) {
    this.#dead = new Sender(options);
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  start(onReceived: (received: Received) => void): void {
    if (this.#running !== undefined) throw new Error("The consumer was started before");
    this.#running = this.#run(onReceived);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#failure = "the consumer was closed";
    await this.#session?.stopReading();
    await withDeadline(Promise.all(this.#burials), LAST_BURIALS_MS, "burying").catch(() => {
      // Others are given these messages, and bury them.
    });
    this.#closed.abort();
    this.#session?.stop();
    await this.#running;
    await this.#dead.close();
    await Promise.all(this.#burials);
  }

  async #run(onReceived: (received: Received) => void): Promise<void> {
    while (!this.#isClosing) {
      const session = this.#session = new Session(this.options, this.#window, {
        onRecord: (progress, record) => onReceived(this.#giveOut(progress, record)),
        onReceiving: () => {
          if (!this.#isClosing) this.#failure = undefined;
        },
        onTrouble: (error) => this.#trouble(error),
        onFault: (error) => this.watcher.onFault(error),
      });
      let pauseMs = BEGIN_AGAIN_AFTER_MS;
      try {
        await session.run();
      } catch (error) {
        this.#trouble(error);
        if (error instanceof BrokerRefusesError) pauseMs = BEGIN_AGAIN_AFTER_REFUSAL_MS;
      }
      await session.close();
      await pause(pauseMs, this.#closed.signal);
    }
  }

  #giveOut(progress: Progress, { offset, bytes }: FetchedRecord): Received {
    const given = progress.give(offset);
    this.#window.take();
    let isOut = true;
    const settle = (how: () => void) => {
      if (!isOut) return;
      isOut = false;
      how();
    };
    const finish = () => {
      progress.finish(given);
      this.#window.free();
    };
    const bury = (reason: string) => {
      const burial = this.#bury(progress, { offset, bytes }, reason).then((isBuried) => {
        if (isBuried) finish();
        else this.#window.free();
      });
      this.#burials.add(burial);
      burial.finally(() => this.#burials.delete(burial));
    };
    return {
      bytes,
      acknowledge: () => settle(finish),
      bury: (reason) => settle(() => bury(reason)),
    };
  }

  /** Tries until it is there, or others are given the message: they bury it then. */
  async #bury(
    progress: Progress,
    { offset, bytes }: FetchedRecord,
    reason: string,
  ): Promise<boolean> {
    const { topic, callTimeoutMs = CALL_TIMEOUT_MS } = this.options;
    const headers = {
      reason: reason.slice(0, MAX_REASON_LENGTH),
      topic,
      partition: String(progress.partition),
      offset: String(offset),
    };
    while (!progress.isRevoked && !this.#closed.signal.aborted) {
      try {
        await this.#dead.send({ topic: deadTopicOf(topic), bytes, headers }, callTimeoutMs);
        return true;
      } catch (error) {
        this.watcher.onFault(error);
        await pause(BURY_AGAIN_AFTER_MS, this.#closed.signal);
      }
    }
    return false;
  }

  /** It is told once of what goes on. */
  #trouble(error: unknown): void {
    if (this.#isClosing) return;
    const fault = brokerError(error, this.options);
    if (fault.message !== this.#failure) this.watcher.onFault(fault);
    this.#failure = fault.message;
  }
}
