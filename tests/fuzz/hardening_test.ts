/** What the fuzzing once found, each as its own test. */
import assert from "node:assert/strict";
import { MEMORY_BUDGET } from "../../src/memory_budget.ts";
import { Dsproxy, eventually, type HowToRun } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";
import { Crowd, readBytes } from "./crowd.ts";
import { head, simpleWrite, writeRequest } from "./hostile_case.ts";
import { ascii, converse, http1Reader } from "./wire.ts";

const MIB = 1024 * 1024;

async function withProxy(
  test: (proxy: Dsproxy) => Promise<void>,
  how: HowToRun = {},
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-defect-" });
  try {
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "100ms" }, how);
    await test(proxy);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function answersTo(proxy: Dsproxy, text: string, answersExpected: number) {
  const talk = {
    parts: [ascii(text)],
    answersExpected,
    lingers: false,
    read: http1Reader(),
    cut: false,
  };
  return (await converse(proxy.url, talk)).answers;
}

async function residentBytes(proxy: Dsproxy): Promise<number> {
  return await proxy.metric("process_resident_memory_bytes");
}

Deno.test("a body in chunks of one byte takes memory for its bytes, not 64 KiB for each", () =>
  withProxy(async (proxy) => {
    const before = await residentBytes(proxy);
    const top = head({ headers: ["Transfer-Encoding: chunked"] });
    await using crowd = await Crowd.gather(proxy.url, 1, top);
    await delay(200); // Together with the head, they would be read as one.
    const [connection] = crowd.connections;
    await connection!.write(ascii("1\r\n \r\n".repeat(10_000)));
    await connection!.write(ascii("1\r\n \r\n".repeat(30_000)));
    await delay(3_000);
    const grown = await residentBytes(proxy) - before;
    assert.ok(grown < 512 * MIB, `240 KB of a body took ${Math.round(grown / MIB)} MiB`);
  }));

Deno.test("bodies under way are bounded together, not only each", () =>
  withProxy(async (proxy) => {
    const before = await residentBytes(proxy);
    const text = head({ headers: [`Content-Length: ${MIB}`] }) + " ".repeat(MIB - 1000);
    const large = { user_id: "large", value: "x".repeat(200 * 1024) };
    {
      await using crowd = await Crowd.gather(proxy.url, 300, text);
      const answers: string[] = [];
      for (const connection of crowd.connections) {
        void readBytes(connection, 1).then(({ beginning }) => answers.push(beginning));
      }
      // As many are let in as the budget has MiB; the others are told at once to come later.
      const refused = 300 - MEMORY_BUDGET.bodies.bytes / MIB;
      await eventually("the rest is refused", () => Promise.resolve(answers.length >= refused));
      await delay(1_000);
      assert.equal(answers.length, refused, "answers while no body has come to its end");
      for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 503 /);
      assert.equal(await proxy.metric('dsproxy_shed_total{reason="overloaded"}'), refused);
      const one = await proxy.write(large);
      const { type } = await one.json();
      assert.deepEqual([one.status, type], [503, "overloaded"]);
      assert.match(one.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
      await proxy.accept({ user_id: "small", value: "v" });
      const grown = await residentBytes(proxy) - before;
      assert.ok(
        grown < 512 * MIB,
        `300 bodies of 1 MiB that do not end took ${Math.round(grown / MIB)} MiB`,
      );
    }
    // What they had taken is given back once they are gone.
    await eventually("a large body is let in", async () => {
      const { status, body } = await proxy.write(large);
      await body?.cancel();
      return status === 202;
    });
  }));

Deno.test("a scrape in the OpenMetrics format leaves the classic names as they were", () =>
  withProxy(async (proxy) => {
    const classic = async () =>
      (await (await fetch(`${proxy.url}/metrics`)).text()).match(/^# TYPE .*/gm);
    const before = await classic();
    const open = await fetch(`${proxy.url}/metrics`, {
      headers: { accept: "application/openmetrics-text" },
    });
    await open.body?.cancel();
    assert.deepEqual(await classic(), before);
  }));

Deno.test("the Host header does not decide which route answers", () =>
  withProxy(async (proxy) => {
    for (const host of ["x/metrics?", "x/metrics#"]) {
      const text = head({ method: "GET", target: "/livez" }).replace("dsproxy", host);
      const [answer] = await answersTo(proxy, text, 1);
      assert.ok(
        answer!.status === 400 || answer!.body.length === 3,
        `Host: ${host} leads /livez to another route`,
      );
    }
  }));

Deno.test("the path of an absolute target is not looked for in its query", () =>
  withProxy(async (proxy) => {
    const write = simpleWrite("absolute");
    const [answer] = await answersTo(
      proxy,
      writeRequest(write, { target: "http://h?x=/write" }),
      1,
    );
    assert.ok(answer!.status >= 400, `POST http://h?x=/write was answered with ${answer!.status}`);
  }));

Deno.test("without a file descriptor left it goes on, and accepts again when there are some", () =>
  withProxy(async (proxy) => {
    {
      const { hostname, port } = new URL(proxy.url);
      const opened = await Promise.allSettled(
        Array.from({ length: 300 }, () => Deno.connect({ hostname, port: Number(port) })),
      );
      await delay(500);
      for (const result of opened) if (result.status === "fulfilled") result.value.close();
    }
    await eventually(
      "it accepts again",
      () => proxy.status("/livez").then((status) => status === 200, () => false),
    );
    await proxy.stop();
  }, { openFiles: 200 }));
