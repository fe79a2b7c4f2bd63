/**
 * Is the board of slots as the script in Redis keeps it, without Redis: the contract suite holds
 * both against the same words.
 */
import { GRANTED, type SlotBoard, type SlotLives } from "../../src/adapters/redis/slot_board.ts";

interface Standing {
  /** By holder, the end of its slot. */
  readonly holders: Map<string, number>;
  /** By asker, in the order in which they came, the end of the place. */
  readonly queue: Map<string, number>;
}

export class SimulatedSlotBoard implements SlotBoard {
  readonly #stores = new Map<string, Standing>();

  constructor(private readonly lives: SlotLives, private readonly nowMs: () => number) {}

  ask(store: string, asker: string): Promise<number> {
    return Promise.resolve(this.#asked(store, asker));
  }

  leave(store: string, asker: string): Promise<void> {
    const { holders, queue } = this.#standing(store);
    holders.delete(asker);
    queue.delete(asker);
    return Promise.resolve();
  }

  /** It has lost everything: FLUSHALL, or a restart. */
  empty(): void {
    this.#stores.clear();
  }

  #asked(store: string, asker: string): number {
    const { count, slotLifeMs, placeLifeMs } = this.lives;
    const { holders, queue } = this.#standing(store);
    const nowMs = this.nowMs();
    for (const ends of [holders, queue]) {
      for (const [who, endMs] of ends) if (endMs <= nowMs) ends.delete(who);
    }
    if (holders.has(asker)) return GRANTED;
    // One who is there already stays at the place.
    queue.set(asker, nowMs + placeLifeMs);
    const ahead = [...queue.keys()].indexOf(asker) - (count - holders.size);
    if (ahead >= 0) return ahead;
    queue.delete(asker);
    holders.set(asker, nowMs + slotLifeMs);
    return GRANTED;
  }

  #standing(store: string): Standing {
    let standing = this.#stores.get(store);
    if (standing === undefined) {
      standing = { holders: new Map(), queue: new Map() };
      this.#stores.set(store, standing);
    }
    return standing;
  }
}
