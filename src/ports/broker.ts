/**
 * What carries groups from the servers that accept writes to the workers that bring them to the
 * store. Messages are bytes to it. It may lose, repeat and reorder them: the journal keeps what the
 * store does not have, and the store leaves out what it has.
 */

export interface BrokerMessage {
  /** The messages of one key go one behind the other where the broker keeps any order. */
  readonly key: string;
  readonly bytes: Uint8Array;
}

/** Its calls reject with a {@link BrokerError} (src/errors.ts), within a deadline of its own. */
export interface Publisher {
  /**
   * Resolves when the broker has confirmed that it has the message, on as many of its servers as it
   * keeps it on, and in a place from which workers are given it. After a rejection it may have it
   * all the same. Several may be under way at a time; they are sent in the order of the calls.
   */
  publish(message: BrokerMessage): Promise<void>;
  /** Resolves when the broker could be asked, and its topology is there. */
  ping(): Promise<void>;
  /** Rejects what is under way. */
  close(): Promise<void>;
}

export interface Received {
  readonly bytes: Uint8Array;
  /** The broker has to give it to nobody any more. It may be lost: then somebody has it again. */
  acknowledge(): void;
  /** Puts it among the broker's dead letters, as nobody can make anything of it. */
  bury(reason: string): void;
}

export interface Consumer {
  /** So many messages at most are given out that were neither acknowledged nor buried. */
  readonly maxGivenOut: number;
  /** Begins to receive, now and whenever the broker is there again. It may be called once. */
  start(onReceived: (received: Received) => void): void;
  /** It says why nothing is received just now; undefined while it is. */
  readonly failure: string | undefined;
  /**
   * Receives no more; what was acknowledged or buried before is told to the broker, and all else
   * is given to others.
   */
  close(): Promise<void>;
}

export interface BrokerWatcher {
  /** It is told of each failure that is not the answer to a call. */
  readonly onFault: (error: unknown) => void;
}
