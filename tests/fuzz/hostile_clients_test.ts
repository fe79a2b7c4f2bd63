import assert from "node:assert/strict";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";
import { Crowd, readBytes } from "./crowd.ts";
import { head } from "./hostile_case.ts";

const SLOW_CLIENTS = 1_000;
const ORDINARY_REQUESTS = 200;
const ORDINARY_PAUSE_MS = 2;
const REQUEST_LIMIT_MS = 5_000;
const RSS_LIMIT_BYTES = 512 * 1024 * 1024;
const BIG_VALUE = "x".repeat(256 * 1024);
const UNREAD_ANSWERS = 50;
/** Far more than the system holds for both ends of a connection that nobody reads from. */
const HUGE_HEADER_BYTES = 64 * 1024 * 1024;

const unreadBigReads = head({ method: "GET", target: "/read?user_id=big" }).repeat(UNREAD_ANSWERS);
const unreadMetrics = head({ method: "GET", target: "/metrics" }).repeat(UNREAD_ANSWERS);
const counted = head({ headers: ["Content-Length: 1000"] });
const inChunks = head({ headers: ["Transfer-Encoding: chunked"] });

interface Scene {
  readonly name: string;
  readonly gather: (url: string) => Promise<Crowd>;
}

const SCENES: readonly Scene[] = [
  {
    name: `${SLOW_CLIENTS} clients that send a header byte by byte`,
    gather: async (url) =>
      (await Crowd.gather(url, SLOW_CLIENTS, "GET /livez HTTP/1.1\r\nX-Slow: ")).drip("x"),
  },
  {
    name: `${SLOW_CLIENTS / 2} clients that send a body byte by byte`,
    gather: async (url) => (await Crowd.gather(url, SLOW_CLIENTS / 2, `${counted}{`)).drip(" "),
  },
  {
    name: `${SLOW_CLIENTS / 2} clients that send a body in chunks of one byte`,
    gather: async (url) => (await Crowd.gather(url, SLOW_CLIENTS / 2, inChunks)).drip("1\r\n \r\n"),
  },
  {
    name: `${SLOW_CLIENTS} clients that connect and say nothing`,
    gather: (url) => Crowd.gather(url, SLOW_CLIENTS, ""),
  },
  {
    name: `${SLOW_CLIENTS} clients that stay after an answer`,
    gather: (url) => Crowd.gather(url, SLOW_CLIENTS, head({ method: "GET", target: "/livez" })),
  },
  {
    name: `50 clients that ask for ${UNREAD_ANSWERS} large values each and read nothing`,
    gather: (url) => Crowd.gather(url, 50, unreadBigReads),
  },
  {
    name: `50 clients that ask for the metrics ${UNREAD_ANSWERS} times each and read nothing`,
    gather: (url) => Crowd.gather(url, 50, unreadMetrics),
  },
];

/**
 * Every request of somebody who behaves succeeds, one after the other, and none of them takes long.
 */
async function assertServed(proxy: Dsproxy, round: string): Promise<void> {
  let slowestMs = 0;
  for (let i = 0; i < ORDINARY_REQUESTS / 2; i++) {
    const value = `${round}/${i}`;
    for (
      const request of [
        () => proxy.accept({ user_id: `ordinary${i % 10}`, value }),
        () => assertReads(proxy, i, value),
      ]
    ) {
      const startedMs = performance.now();
      await request();
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      await delay(ORDINARY_PAUSE_MS);
    }
  }
  assert.ok(slowestMs < REQUEST_LIMIT_MS, `one of the requests took ${Math.round(slowestMs)} ms`);
}

async function assertReads(proxy: Dsproxy, i: number, value: string): Promise<void> {
  const read = await proxy.read(`ordinary${i % 10}`);
  assert.deepEqual([read.status, read.value], [200, value]);
}

/** It is what they make the program hold: garbage may be there beside it, until it is collected. */
async function assertBoundedMemory(proxy: Dsproxy): Promise<void> {
  await eventually(
    `at most ${RSS_LIMIT_BYTES} bytes are resident`,
    async () => await proxy.metric("process_resident_memory_bytes") < RSS_LIMIT_BYTES,
  );
}

async function assertHugeHeadersAreRefused(proxy: Dsproxy): Promise<void> {
  const connections = await Promise.all(Array.from({ length: 20 }, async () => {
    const { hostname, port } = new URL(proxy.url);
    const connection = await Deno.connect({ hostname, port: Number(port) });
    const sending = sendHugeHeader(connection);
    const { count, beginning } = await readBytes(connection, Infinity);
    connection.close();
    assert.ok(count === 0 || beginning.startsWith("HTTP/1.1 400"), beginning);
    return await sending;
  }));
  const swallowed = connections.filter((sentBytes) => sentBytes === HUGE_HEADER_BYTES);
  assert.ok(
    swallowed.length === 0,
    `${swallowed.length} headers of ${HUGE_HEADER_BYTES} bytes were taken`,
  );
}

/** Returns how many bytes of it the server let the client send. */
async function sendHugeHeader(connection: Deno.Conn): Promise<number> {
  const piece = new TextEncoder().encode("x".repeat(64 * 1024));
  let sent = 0;
  try {
    await connection.write(new TextEncoder().encode("GET /livez HTTP/1.1\r\nX-Huge: "));
    while (sent < HUGE_HEADER_BYTES) sent += await connection.write(piece);
  } catch {
    // The server has closed, as it should.
  }
  return sent;
}

Deno.test("an ordinary client is served while hostile ones are there, and later", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-hostile-" });
  try {
    await using proxy = await Dsproxy.start({
      DATA_DIR: dataDir,
      BATCH_INTERVAL: "100ms",
      SHUTDOWN_GRACE: "1s",
    });
    await proxy.accept({ user_id: "big", value: BIG_VALUE });

    for (const { name, gather } of SCENES) {
      await t.step(name, async () => {
        await using crowd = await gather(proxy.url);
        assert.ok(crowd.connections.length > 0);
        await assertServed(proxy, name);
        await assertBoundedMemory(proxy);
      });
    }

    await t.step(
      `headers of ${HUGE_HEADER_BYTES} bytes are refused before they are there`,
      async () => {
        await assertHugeHeadersAreRefused(proxy);
        await assertServed(proxy, "huge headers");
        await assertBoundedMemory(proxy);
      },
    );

    await t.step("who reads late still gets every answer", async () => {
      await using crowd = await Crowd.gather(proxy.url, 1, unreadBigReads);
      await assertServed(proxy, "late");
      const { count } = await readBytes(crowd.connections[0]!, UNREAD_ANSWERS * BIG_VALUE.length);
      assert.ok(count >= UNREAD_ANSWERS * BIG_VALUE.length, `only ${count} bytes came`);
    });

    await t.step("when all of them have gone, all is as before", async () => {
      await assertServed(proxy, "after");
      await assertBoundedMemory(proxy);
    });

    await t.step(
      "all of them at once, and none of them keeps it from stopping in order",
      async () => {
        await using crowds = new AsyncDisposableStack();
        for (const { gather } of SCENES) crowds.use(await gather(proxy.url));
        await assertServed(proxy, "all");
        await assertBoundedMemory(proxy);
        await proxy.stop();
        assert.ok(!/"level":"error"|Uncaught/.test(proxy.log), proxy.log);
      },
    );
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
