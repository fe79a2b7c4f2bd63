/** Bodies and the borders between requests: what is sent as one request is taken for one. */
import assert from "node:assert/strict";
import { Dsproxy } from "../support/dsproxy.ts";
import { RawConnection } from "../support/raw_http.ts";

const HEAD = "POST /write HTTP/1.1\r\nHost: x\r\n";
/** A write of its own, where it should be a piece of another request. */
const SMUGGLED = `${HEAD}Content-Length: 35\r\n\r\n{"user_id":"smuggled","value":"bad"}`;

Deno.test("bodies and framing", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-framing-" });
  const proxy = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "1h" });
  const { url } = proxy;
  try {
    await t.step("two 2 KB POSTs on one socket keep the connection", async () => {
      using connection = await RawConnection.open(url);
      const body = JSON.stringify({ user_id: "keep", value: "x".repeat(2048) });
      for (let i = 1; i <= 2; i++) {
        await connection.send(
          `POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`,
        );
        await connection.send(body);
        const text = await connection.receive((text) =>
          RawConnection.answers(text) === i && text.endsWith("accepted")
        );
        assert.equal(RawConnection.answers(text), i, text);
        assert.ok(!connection.closed, text);
      }
    });

    for (const chunked of [false, true]) {
      await t.step(
        `after a 413 the rest of a ${
          chunked ? "chunked" : "counted"
        } body is never taken for a request`,
        async () => {
          using connection = await RawConnection.open(url);
          const filler = "x".repeat(1024 * 1024 + 10);
          const rest = SMUGGLED.repeat(20_000);
          if (chunked) {
            await connection.send(
              "POST /write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            await connection.send(`${filler.length.toString(16)}\r\n${filler}\r\n`);
            await connection.send(`${rest.length.toString(16)}\r\n${rest}\r\n0\r\n\r\n`);
          } else {
            await connection.send(
              `POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: ${
                filler.length + rest.length
              }\r\n\r\n`,
            );
            await connection.send(filler);
            await connection.send(rest);
          }
          const text = await connection.untilClosed();
          assert.ok(RawConnection.answers(text) <= 1, text.slice(0, 2000));
          assert.ok(text === "" || text.startsWith("HTTP/1.1 413"), text.slice(0, 2000));
          assert.equal((await proxy.read("smuggled")).status, 404);
        },
      );
    }

    await t.step("a chunked body of a gigabyte is refused early and costs no memory", async () => {
      const before = await proxy.metric("process_resident_memory_bytes");
      using connection = await RawConnection.open(url);
      await connection.send(
        "POST /write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
      );
      const chunk = new TextEncoder().encode(`100000\r\n${"x".repeat(0x100000)}\r\n`);
      let sent = 0;
      while (sent < 1024 && await connection.send(chunk)) sent++;
      assert.ok(sent < 1024, "the server took the whole gigabyte");
      const grown = await proxy.metric("process_resident_memory_bytes") - before;
      assert.ok(grown < 128 * 1024 * 1024, `resident memory grew by ${grown} bytes`);
      assert.equal(await proxy.status("/livez"), 200);
    });

    await t.step("a request with two lengths is refused and nothing behind it is run", async () => {
      using connection = await RawConnection.open(url);
      await connection.send(
        `${HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
      );
      const text = await connection.untilClosed();
      assert.match(text, /^HTTP\/1\.1 400/);
      assert.equal((await proxy.read("smuggled")).status, 404);
    });

    await t.step("a body that breaks off is not written", async () => {
      {
        using connection = await RawConnection.open(url);
        await connection.send(
          `${HEAD}Content-Length: 100\r\n\r\n{"user_id":"broken","value":"v"}`,
        );
      }
      assert.equal((await proxy.read("broken")).status, 404);
    });

    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    await Deno.remove(dataDir, { recursive: true });
  }
});
