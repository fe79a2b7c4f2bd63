/** A simulated world that goes on by itself, for tests that are not written as one. */
import { World } from "../simulation/world.ts";

const BEAT_MS = 1;

/**
 * Lets one event after the other happen until it is stopped. @throws what was violated, from `stop`
 */
export function drive(world: World): { stop(): Promise<void> } {
  let stopped = false;
  const beat = () => {
    world.after(BEAT_MS, "beat", beat);
  };
  beat();
  const running = (async () => {
    while (!stopped) await world.step();
  })();
  running.catch(() => {});
  return {
    async stop() {
      stopped = true;
      await running;
    },
  };
}
