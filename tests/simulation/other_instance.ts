/**
 * Another instance, which shares the store and the cache and only reads: what a look-up found it
 * fills in a little later, when a batch may have been settled that it knows nothing of.
 */
import { cacheNameOf, type SimulatedCache } from "./cache.ts";
import type { SimulatedStore } from "./store.ts";
import type { World } from "./world.ts";

interface OtherInstanceParts {
  readonly world: World;
  readonly store: SimulatedStore;
  readonly cache: SimulatedCache;
}

/** A look-up and the fill after it take no longer. */
const FILL_LATE_MS = 300;
/** It does so before this part of the batches, as what it finds is older from then on. */
const LOOKS_UP_BEFORE = 0.3;

export class OtherInstance {
  constructor(private readonly parts: OtherInstanceParts) {}

  /** Looks users up now and then just before something of theirs is stored. */
  begin(): void {
    const { world: { random }, store } = this.parts;
    store.beforePut = (userIds) => {
      if (random.chance(LOOKS_UP_BEFORE)) this.#lookUp(random.pick(userIds));
    };
  }

  #lookUp(userId: string): void {
    const { world, store, cache } = this.parts;
    const found = store.tables.latest(userId);
    const name = cacheNameOf(store.identity);
    const token = cache.token();
    if (found === undefined) return;
    world.after(world.random.between(0, FILL_LATE_MS), "another instance fills in", () => {
      world.fault("filled in by another instance");
      cache.fillFromElsewhere(found, token, name);
    });
  }
}
