/** Stands for the board in Redis until the driver is loaded, which nobody needs before a note. */
import type { InstanceBoard } from "../../ports/instance_board.ts";
import type { RedisInstanceBoardOptions } from "./instance_board.ts";

export function createRedisInstanceBoardLater(options: RedisInstanceBoardOptions): InstanceBoard {
  let loading: Promise<InstanceBoard> | undefined;
  const load = async () => new (await import("./instance_board.ts")).RedisInstanceBoard(options);
  const loaded = () => loading ??= load();
  return {
    post: async (name, note, lifeMs) => (await loaded()).post(name, note, lifeMs),
    notes: async () => (await loaded()).notes(),
    withdraw: async (name) => (await loading)?.withdraw(name),
    close: async () => (await loading)?.close(),
  };
}
