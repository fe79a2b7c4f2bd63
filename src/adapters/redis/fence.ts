/**
 * Is one key that keeps what look-ups found out of Redis once it may be outdated: whoever has stored
 * something renews it, and what a look-up found is taken only while it is the same as before. It is
 * lost together with all that it stands for, and is never the same again.
 */
import type { Connection } from "./connection.ts";
import type { RedisClient } from "./handshake.ts";
import { isDone } from "./refusals.ts";

/** The key goes away by itself where nobody reads and writes any more. */
const LIFETIME_MS = String(3_600_000);

/** Nothing is filled in under it. */
const GONE = "gone";

/** It was so at one moment. */
export interface Standing {
  /** It is the epoch of the server that has the fence. */
  readonly server: string;
  /** It is empty where there is none, as the server may not take its key together with others. */
  readonly value: string;
}

export class Fence {
  #reading: Promise<Standing> | undefined;

  constructor(private readonly connection: Connection, private readonly key: string) {}

  /** Returns what it is now. Those who ask at the same time have one answer. */
  read(): Promise<Standing> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  /**
   * Makes it another one. That is done, too, where this instance may not use it, as others may.
   * @returns the epoch of the server that has done so; undefined where it may not be used, or the
   *   server refuses that
   */
  renew(): Promise<string | undefined> {
    return this.connection.call(async (client, { epoch, takesMany }) => {
      // A full server takes nothing new. That there is none has the same effect.
      const isRenewed = await isDone(this.#set(client)) ||
        await isDone(client.sendCommand(["DEL", this.key]));
      return isRenewed && takesMany ? epoch : undefined;
    });
  }

  #read(): Promise<Standing> {
    return this.connection.call(async (client, peer) => {
      const { epoch: server, takesMany } = peer;
      return { server, value: takesMany ? await this.#valueAt(client) : "" };
    });
  }

  async #valueAt(client: RedisClient): Promise<string> {
    const get = () => client.sendCommand<string | null>(["GET", this.key]);
    const found = await get();
    if (found !== null) return found;
    const isSet = await isDone(this.#set(client, "NX"));
    return (isSet ? await get() : undefined) ?? GONE;
  }

  #set(client: RedisClient, ...condition: string[]): Promise<unknown> {
    const value = crypto.randomUUID();
    return client.sendCommand(["SET", this.key, value, "PX", LIFETIME_MS, ...condition]);
  }
}
