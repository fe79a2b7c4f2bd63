/** What is particular to a cache in a server: copies in this process, a server that goes away. */
import assert from "node:assert/strict";
import { createClient } from "@redis/client";
import { DeadlineError } from "../../../src/deadline.ts";
import type { Cache } from "../../../src/ports/cache.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { fillIn } from "../../support/fill_in.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";
import type { RedisCacheOptions } from "../../../src/adapters/redis/cache.ts";
import { makeRedisCache, NO_LOCAL } from "../../support/redis_caches.ts";

const LOCAL = { maxEntries: 1_000, maxBytes: 1024 * 1024 };

/** It is short where no answer ever comes. */
const IMPATIENT_MS = 200;

const USER = "user1";
const [v1, v2, v3] = [1, 2, 3].map((seq) => entry(seq, { userId: USER })) as [Entry, Entry, Entry];
type Entry = ReturnType<typeof entry>;

/** Sees what is really there. */
function connectRaw(url: string) {
  return createClient({ url }).connect();
}

/** A server of one's own, which may be flushed and stopped. */
function testServer(
  behaviour: string,
  run: (server: RedisServer, caches: AsyncDisposableStack) => Promise<void>,
): void {
  Deno.test(behaviour, async () => {
    await using server = await startRedis();
    await using caches = new AsyncDisposableStack();
    await run(server, caches);
  });
}

function open(
  caches: AsyncDisposableStack,
  options: Partial<RedisCacheOptions> & { url: string },
): Cache {
  return caches.adopt(makeRedisCache(options), (cache) => cache.close());
}

/** For polling: a fault, as a call may meet on a busy machine, is told from a miss. */
async function sourceOf(cache: Cache): Promise<string | undefined> {
  try {
    return (await cache.get(USER))?.source;
  } catch {
    return "fault";
  }
}

testServer("a copy in this process follows what other instances write", async ({ url }, caches) => {
  const [a, b] = [open(caches, { url, local: LOCAL }), open(caches, { url, local: LOCAL })];
  for (const version of [v1, v2, v3]) {
    await b.update([version]);
    await eventually("a sees it", async () => (await a.get(USER))?.entry.seq === version.seq);
    await eventually("a keeps a copy", async () => await sourceOf(a) === "local");
  }
  await fillIn(b, [v3]);
  await eventually(
    "a knows that it is complete",
    async () => (await a.get(USER))?.complete === true,
  );
});

testServer(
  "an instance sees its own write at once, whatever copy it had",
  async ({ url }, caches) => {
    const cache = open(caches, { url, local: LOCAL });
    for (let seq = 1; seq <= 200; seq++) {
      const reads = [cache.get(USER), cache.get(USER)];
      const write = cache.update([entry(seq, { userId: USER })]);
      reads.push(cache.get(USER));
      await write;
      assert.equal((await cache.get(USER))?.entry.seq, seq);
      await Promise.all(reads);
      assert.equal((await cache.get(USER))?.entry.seq, seq);
    }
  },
);

testServer(
  "copies are gone when Redis is flushed, and when one key of the two is deleted",
  async ({ url }, caches) => {
    const cache = open(caches, { url, local: LOCAL, prefix: "p:" });
    const raw = caches.adopt(await connectRaw(url), (client) => client.destroy());
    const removals = [
      () => raw.flushAll(),
      () => raw.del(`p:${USER}`),
      () => raw.del(`p:{p:${USER}}\0v`),
    ];
    for (const remove of removals) {
      await fillIn(cache, [v1]);
      await eventually("there is a copy", async () => await sourceOf(cache) === "local");
      await remove();
      await eventually("it is a miss", async () => await cache.get(USER) === undefined);
    }
  },
);

testServer("copies are bounded by entries and by bytes", async ({ url }, caches) => {
  const entries = Array.from(
    { length: 20 },
    (_, index) => entry(index + 1, { value: "x".repeat(1_000) }),
  );
  const users = entries.map(({ userId }) => userId);
  for (
    const [local, limit] of [[{ maxEntries: 5, maxBytes: 1e9 }, 5], [{
      maxEntries: 1e3,
      maxBytes: 10_000,
    }, 4]] as const
  ) {
    const cache = open(caches, { url, local });
    await cache.update(entries);
    for (const userId of users) await cache.get(userId);
    const sources = [];
    for (const userId of users.toReversed().slice(0, limit + 1)) {
      sources.push((await cache.get(userId))?.source);
    }
    assert.deepEqual(sources, [...Array(limit).fill("local"), "redis"]);
  }
});

testServer("scripts that the server forgot are sent again", async ({ url }, caches) => {
  const cache = open(caches, { url });
  const raw = caches.adopt(await connectRaw(url), (client) => client.destroy());
  await cache.update([v1]);
  await raw.scriptFlush();
  await cache.update([v2]);
  assert.deepEqual((await cache.get(USER))?.entry, v2);
});

testServer(
  "without a server calls are refused at once, with the reason; once it is back they work",
  async (server, caches) => {
    const reasons: string[] = [];
    const onError = (error: Error) => reasons.push(error.message);
    const cache = open(caches, { url: server.url, local: LOCAL, onError });
    await cache.update([v1]);
    await eventually("there is a copy", async () => await sourceOf(cache) === "local");

    await server.stop();
    await eventually("the loss is told", () => Promise.resolve(reasons.length > 0));
    const refused = { message: new RegExp(`^Redis at 127\\.0\\.0\\.1:${server.port}: .+`) };
    await assert.rejects(async () => await cache.get(USER), refused);
    await assert.rejects(cache.update([v2]), refused);
    await assert.rejects(cache.token(), refused);

    await server.start();
    await eventually("it answers again", () => succeeds(cache.token()));
    assert.equal(await cache.get(USER), undefined);
    await cache.update([v2]);
    assert.deepEqual((await cache.get(USER))?.entry, v2);
  },
);

testServer(
  "the server need not be up when the cache is made, nor when it is closed",
  async (server, caches) => {
    await server.stop();
    const cache = open(caches, { url: server.url });
    await assert.rejects(cache.token(), /^Error: Redis at .*ECONNREFUSED/);
    await server.start();
    await eventually("it answers", () => succeeds(cache.token()));
    await server.stop();
  },
);

testServer(
  "a server that hangs fails each call at its deadline, and works again when it goes on",
  async (server, caches) => {
    const [local, remote] = [LOCAL, NO_LOCAL].map((local) =>
      open(caches, { url: server.url, local, callTimeoutMs: IMPATIENT_MS })
    ) as [Cache, Cache];
    for (const cache of [local, remote]) {
      await eventually("it is stored", () => succeeds(cache.update([v1])));
    }
    await server.pause();
    for (const cache of [local, remote]) {
      await assert.rejects(cache.update([v2]), /Redis at .* gave no answer within 200 ms/);
      await eventually("the connection is given up", () => isRefused(cache, /TIME gave no answer/));
      await assert.rejects(
        async () => await cache.get(USER),
        "a copy was served, though nobody can know whether it is up to date",
      );
    }
    await server.resume();
    for (const cache of [local, remote]) {
      await eventually("it answers again", () => succeeds(cache.update([v3])));
      await eventually("the newest is there", async () => (await cache.get(USER))?.entry.seq === 3);
    }
  },
);

testServer(
  "copies are dropped when the server falls silent, even if nobody asks it",
  async (server, caches) => {
    const reasons: string[] = [];
    const cache = open(caches, {
      url: server.url,
      local: LOCAL,
      callTimeoutMs: IMPATIENT_MS,
      onError: ({ message }) => reasons.push(message),
    });
    await eventually("it is stored", () => succeeds(cache.update([v1])));
    await eventually("there is a copy", async () => await sourceOf(cache) === "local");
    await server.pause();
    await eventually(
      "the silence is noticed",
      () => Promise.resolve(reasons.some((reason) => reason.includes("TIME"))),
    );
    await assert.rejects(async () => await cache.get(USER));
  },
);

testServer(
  "a cache can be closed while its server hangs, even twice, and then refuses calls",
  async (server, caches) => {
    await server.pause();
    const cache = open(caches, { url: server.url, callTimeoutMs: IMPATIENT_MS });
    await assert.rejects(async () => await cache.get(USER), /gave no answer within 200 ms/);
    await cache.close();
    await cache.close();
    await assert.rejects(async () => await cache.get(USER), /connection is closed/);
  },
);

testServer(
  "a server with a password lets in who has it, and tells why it refuses others",
  async ({ url, port }, caches) => {
    const raw = caches.adopt(await connectRaw(url), (client) => client.destroy());
    await raw.configSet("requirepass", "s3cret/@:");
    await raw.aclSetUser("app", ["on", ">p%40ss", "~*", "&*", "+@all"]);
    const host = "127.0.0.1";
    const admitted: Partial<RedisCacheOptions>[] = [
      { url, password: "s3cret/@:" },
      { url: `redis://:${encodeURIComponent("s3cret/@:")}@${host}:${port}`, password: "not this" },
      { url: `redis://app@${host}:${port}/3`, password: "p%40ss" },
      { url: `redis://app:p%2540ss@${host}:${port}` },
      { host, port, username: "app", password: "p%40ss", database: 3 },
    ];
    for (const options of admitted) {
      const cache = open(caches, options as { url: string });
      await cache.update([v1]);
      assert.deepEqual((await cache.get(USER))?.entry, v1);
    }
    const refused: [Partial<RedisCacheOptions>, RegExp][] = [[{ password: "wrong" }, /WRONGPASS/], [
      {},
      /NOAUTH/,
    ]];
    for (const [options, reason] of refused) {
      const cache = open(caches, { url, ...options });
      await assert.rejects(
        async () => await cache.get(USER),
        (error: Error) => reason.test(error.message) && !error.message.includes("wrong"),
      );
    }
  },
);

testServer("databases of one server are apart", async ({ url }, caches) => {
  const [zero, three] = [open(caches, { url }), open(caches, { url: `${url}/3` })];
  await three.update([v1]);
  assert.equal(await zero.get(USER), undefined);
  assert.equal(await sourceOf(three), "redis");
});

testServer(
  "what a restarted server brings back from a snapshot is not answered",
  async (server, caches) => {
    const { url } = server;
    const cache = open(caches, { url });
    await fillIn(cache, [v1]);
    const raw = await connectRaw(url);
    await raw.sendCommand(["SAVE"]);
    raw.destroy();
    await fillIn(cache, [v2]);
    await server.kill();
    await server.start();
    await eventually(
      "it is a miss",
      async () => await sourceOf(cache) === undefined,
    );
    const again = caches.adopt(await connectRaw(url), (client) => client.destroy());
    assert.equal(await again.get(USER), v1.value, "the snapshot is there");
    await cache.update([v1]);
    assert.deepEqual(await cache.get(USER), { entry: v1, complete: false, source: "redis" });
  },
);

testServer(
  "an update that a frozen server comes to after its deadline stores nothing",
  async (server, caches) => {
    const cache = open(caches, { url: server.url, callTimeoutMs: IMPATIENT_MS });
    await cache.update([v2]);
    await server.pause();
    await assert.rejects(
      cache.update([v3]),
      ({ cause }: Error) => cause instanceof DeadlineError,
    );
    await new Promise((resolve) => setTimeout(resolve, IMPATIENT_MS));
    await server.resume();
    const raw = caches.adopt(await connectRaw(server.url), (client) => client.destroy());
    // The buffered command is older than this connection's first.
    await raw.ping();
    assert.equal(
      await raw.get(USER),
      null,
      "the copy that it was to replace is dropped, as it may be too old",
    );
  },
);

async function succeeds(call: Promise<unknown>): Promise<boolean> {
  return await call.then(() => true, () => false);
}

async function isRefused(cache: Cache, reason: RegExp): Promise<boolean> {
  return await cache.token().then(() => false, (error: Error) => reason.test(error.message));
}
