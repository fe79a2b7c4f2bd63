import assert from "node:assert/strict";
import { MemoryInstanceBoard } from "../../src/adapters/memory/instance_board.ts";
import { RedisInstanceBoard } from "../../src/adapters/redis/instance_board.ts";
import { StoreUnavailableError } from "../../src/errors.ts";
import { BoardRefusesError } from "../../src/ports/instance_board.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { redisCommand, sharedRedisUrl } from "../support/redis.ts";
import { delay } from "../support/services.ts";
import { instanceBoardContract } from "./instance_board_suite.ts";

instanceBoardContract("memory", () => {
  const clock = new FakeClock();
  const board = new MemoryInstanceBoard(clock);
  return Promise.resolve({
    ...{ board, other: board },
    pass: (ms) => clock.advance(ms),
    [Symbol.asyncDispose]: () => board.close(),
  });
});

function redisBoard(prefix: string, store: string): RedisInstanceBoard {
  const identity = () => Promise.resolve(store);
  return new RedisInstanceBoard({ url: sharedRedisUrl(), prefix, identity, callTimeoutMs: 10_000 });
}

instanceBoardContract("redis", () => {
  const prefix = `${crypto.randomUUID()}:`;
  const [board, other] = [redisBoard(prefix, "a"), redisBoard(prefix, "a")];
  return Promise.resolve({
    ...{ board, other },
    pass: delay,
    [Symbol.asyncDispose]: async () => {
      await board.close();
      await other.close();
    },
  });
});

Deno.test("instances of two databases that share a Redis do not see each other", async () => {
  const prefix = `${crypto.randomUUID()}:`;
  const [board, foreign] = [redisBoard(prefix, "a"), redisBoard(prefix, "b")];
  await board.post("me", "note", 60_000);
  assert.deepEqual(await foreign.notes(), []);
  await board.close();
  await foreign.close();
});

Deno.test("a board whose store cannot be told asks nothing of Redis, and says why", async () => {
  const board = new RedisInstanceBoard({
    url: "redis://127.0.0.1:1",
    prefix: "",
    identity: () => Promise.reject(new StoreUnavailableError("away")),
  });
  await assert.rejects(board.post("me", "note", 1_000), StoreUnavailableError);
  await board.withdraw("me");
  await board.close();
});

Deno.test("a Redis that does not allow it is told from one that is away", async () => {
  const url = new URL(sharedRedisUrl());
  const [user, port] = [`reader_${crypto.randomUUID()}`, Number(url.port)];
  await redisCommand(port, `ACL SETUSER ${user} on >secret ~* +@all -hset`);
  url.username = user;
  url.password = "secret";
  const identity = () => Promise.resolve("a");
  const board = new RedisInstanceBoard({ url: url.href, prefix: `${user}:`, identity });
  try {
    await assert.rejects(board.post("me", "note", 1_000), BoardRefusesError);
    assert.deepEqual(await board.notes(), []);
  } finally {
    await board.close();
    await redisCommand(port, `ACL DELUSER ${user}`);
  }
});
