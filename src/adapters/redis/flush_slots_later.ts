/** Stands for the slots in Redis until the driver is loaded, which nobody needs before a flush. */
import type { FlushSlots } from "../../ports/flush_slots.ts";
import type { RedisFlushSlotsOptions } from "./flush_slots.ts";

export function createRedisFlushSlotsLater(options: RedisFlushSlotsOptions): FlushSlots {
  let loading: Promise<FlushSlots> | undefined;
  const load = async () => (await import("./flush_slots.ts")).createRedisFlushSlots(options);
  return {
    acquire: async (store, signal) => (await (loading ??= load())).acquire(store, signal),
    close: async () => (await loading)?.close(),
  };
}
