/**
 * Another instance, which shares the store and the cache and only reads: what a look-up found it
 * fills in a little later, when a batch may have been settled that it knows nothing of.
 */
import { cacheNameOf, FILL_LATE_MS, type SimulatedCache } from "./cache.ts";
import type { SimulatedStore } from "./store.ts";
import type { World } from "./world.ts";

interface OtherInstanceParts {
  readonly world: World;
  readonly store: SimulatedStore;
  readonly cache: SimulatedCache;
  readonly users: readonly string[];
}

const LOOK_UPS_MAX = 200;

export class OtherInstance {
  constructor(private readonly parts: OtherInstanceParts) {}

  /** Plans its look-ups over the whole time. */
  plan(activeMs: number): void {
    const { world, users } = this.parts;
    const { random } = world;
    const lookUps = random.below(LOOK_UPS_MAX);
    for (let i = 0; i < lookUps; i++) {
      const userId = random.pick(users);
      world.after(
        random.between(0, activeMs),
        "another instance looks up",
        () => this.#lookUp(userId),
      );
    }
  }

  #lookUp(userId: string): void {
    const { world, store, cache } = this.parts;
    const found = store.tables.latest(userId);
    const name = cacheNameOf(store.identity);
    const { losses } = cache;
    if (found === undefined) return;
    world.after(world.random.between(0, FILL_LATE_MS), "another instance fills in", () => {
      // What the cache has lost since cannot keep out what is older (ADR 6).
      if (cache.losses !== losses) return;
      world.fault("filled in by another instance");
      cache.fillFromElsewhere(found, name);
    });
  }
}
