import assert from "node:assert/strict";
import { OPTIONS } from "../../src/config/options.ts";
import { sizeBytes } from "../../src/config/parsers.ts";
import { Dsproxy } from "../support/dsproxy.ts";
import { installed, NGINX } from "../support/installed.ts";
import { freePort, TestServer } from "../support/services.ts";
import { composeText, readCompose } from "./compose.ts";
import { milliseconds } from "./settings.ts";
import { send, Upstreams } from "./upstream.ts";

/** The service answers after so long at the latest: ?ack=flushed, and reads with Dsproxy-After. */
const LONGEST_WAIT_MS = 10_000;
const RECORD = JSON.stringify({ user_id: "somebody", value: "something" });

/** The configuration of the layout, with the ports and the folder of a test. */
async function configuration(
  { folder, port, ports }: { folder: string; port: number; ports: readonly number[] },
  change: (text: string) => string = (text) => text,
): Promise<string> {
  const text = change(await composeText("nginx.conf"))
    .replaceAll("/tmp/", `${folder}/`)
    .replace("listen 8080;", `listen 127.0.0.1:${port};`)
    .replaceAll("api-1:8080", `127.0.0.1:${ports[0]}`)
    .replaceAll("api-2:8080", `127.0.0.1:${ports[1]}`);
  assert.ok(!/api-\d:|\b8080\b/.test(text), "every address of the layout is replaced");
  return text;
}

/** Starts nginx before two servers. To be disposed of by the caller. */
async function startNginx(
  ports: readonly number[],
  change?: (text: string) => string,
): Promise<TestServer> {
  const command = await installed(NGINX);
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_deploy_nginx_" });
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const [file, alone] = [`${folder}/nginx.conf`, "daemon off; master_process off;"];
  const server = new TestServer(url, {
    name: "nginx",
    ...{ port, folder, command },
    args: ["-p", folder, "-e", "stderr", "-c", file, "-g", alone],
    owner: undefined,
    stopSignal: "SIGQUIT",
    probe: async () => void await (await fetch(`${url}/nginx-livez`)).body?.cancel(),
  });
  try {
    await Deno.writeTextFile(file, await configuration({ folder, port, ports }, change));
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

/** What `nginx -t` says. */
async function verdict(change?: (text: string) => string): Promise<{ ok: boolean; text: string }> {
  const command = await installed(NGINX);
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_deploy_nginx_" });
  try {
    const file = `${folder}/nginx.conf`;
    const wanted = { folder, port: freePort(), ports: [freePort(), freePort()] };
    await Deno.writeTextFile(file, await configuration(wanted, change));
    const args = ["-t", "-p", folder, "-e", "stderr", "-c", file];
    const { success, stderr } = await new Deno.Command(command, { args }).output();
    return { ok: success, text: new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("nginx takes the configuration of the layout, and would not take a mistake", async () => {
  const { ok, text } = await verdict();
  assert.ok(ok, text);
  assert.ok(!text.includes("[warn]"), text);
  const mistaken = await verdict((text) => text.replace("proxy_read_timeout", "proxy_red_timeout"));
  assert.equal(mistaken.ok, false);
  assert.match(mistaken.text, /unknown directive "proxy_red_timeout"/);
});

Deno.test("nginx lets bodies and waits of the service's size through, to its servers", async () => {
  const text = await composeText("nginx.conf");
  const { services } = await readCompose("docker-compose.yml");
  const servers = Object.keys(services).filter((name) => name.startsWith("api-"));
  for (const name of servers) {
    const limit = services[name]?.environment?.MAX_BODY_BYTES ?? OPTIONS.MAX_BODY_BYTES.default;
    const [, size] = /client_max_body_size (\w+);/.exec(text)!;
    const bytes = sizeBytes(1, Number.MAX_SAFE_INTEGER);
    assert.ok(bytes(size!.replace("m", "MiB")) >= bytes(limit), name);
    const port = services[name]?.environment?.PROXY_PORT;
    const group = new RegExp(`server ${name}:${port} max_fails=1 `);
    assert.match(text, group, "each is the first one of some clients");
    assert.match(text, new RegExp(`server ${name}:${port} backup `));
  }
  for (const direction of ["read", "send"]) {
    const [, timeout] = new RegExp(`proxy_${direction}_timeout (\\w+);`).exec(text)!;
    assert.ok(milliseconds(timeout!) >= 2 * LONGEST_WAIT_MS, direction);
  }
});

Deno.test("a client writes, reads and is refused through nginx as at the service itself", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_deploy_" });
  try {
    await using one = await Dsproxy.start({ DATA_DIR: `${folder}/one` });
    await using two = await Dsproxy.start({ DATA_DIR: `${folder}/two` });
    const ports = [one, two].map(({ url }) => Number(new URL(url).port));
    await using nginx = await startNginx(ports);
    const write = await send(nginx.port, "POST", "/write", RECORD);
    assert.equal(write.status, 202, write.text);
    // Each has a store of its own, and a client keeps to one of them.
    for (let i = 0; i < 4; i++) {
      const read = await send(nginx.port, "GET", "/read?user_id=somebody");
      assert.deepEqual([read.status, read.text], [200, "something"]);
    }
    const largest = RECORD + " ".repeat(1024 ** 2 - RECORD.length);
    assert.equal((await send(nginx.port, "POST", "/write", largest)).status, 202);
    assert.equal((await send(nginx.port, "POST", "/write", `${largest} `)).status, 413);
    for (const path of ["/admin/dead-letters", "/events", "/metrics"]) {
      assert.equal((await send(nginx.port, "GET", path)).status, 403, path);
    }
    // Who had the client before is gone: the other one takes it, at once and without an error.
    const keeps = await Promise.all([one, two].map((each) => each.read("somebody")));
    const [first, other] = keeps[0]!.status === 200 ? [one, two] : [two, one];
    await first.kill();
    for (let i = 0; i < 4; i++) {
      assert.equal((await send(nginx.port, "POST", "/write", RECORD)).status, 202);
    }
    assert.equal((await other.read("somebody")).value, "something");
    await other.stop();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the service is told which host was meant, and for whom nginx asks", async () => {
  await using upstreams = await Upstreams.start(202);
  await using nginx = await startNginx(upstreams.ports);
  assert.equal((await send(nginx.port, "POST", "/write?ack=durable", RECORD)).status, 202);
  const [{ headers, body }] = upstreams.asked as [typeof upstreams.asked[number]];
  assert.equal(headers.host, `front.test:${nginx.port}`);
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
  assert.notEqual(headers.connection, "close", "the connection is used again");
  assert.equal(body, RECORD);
});

for (
  const [deed, status] of [["breaks off", 502], ["is silent", 504]] as const
) {
  const impatient = (text: string) =>
    text.replace("proxy_read_timeout 30s;", "proxy_read_timeout 1s;");

  Deno.test(`a write is not sent twice when the server that has it ${deed}`, async () => {
    await using upstreams = await Upstreams.start(deed);
    await using nginx = await startNginx(upstreams.ports, impatient);
    assert.equal((await send(nginx.port, "POST", "/write", RECORD)).status, status);
    assert.deepEqual(upstreams.asked.map(({ body }) => body), [RECORD]);
  });

  Deno.test(`it would be sent twice with non_idempotent when the server ${deed}`, async () => {
    const careless = (text: string) =>
      impatient(text).replace("error timeout;", "error timeout non_idempotent;");
    await using upstreams = await Upstreams.start(deed);
    await using nginx = await startNginx(upstreams.ports, careless);
    assert.equal((await send(nginx.port, "POST", "/write", RECORD)).status, 202);
    assert.deepEqual(upstreams.asked.map(({ body }) => body), [RECORD, RECORD]);
  });

  Deno.test(`a read is asked of the other server when the first one ${deed}`, async () => {
    await using upstreams = await Upstreams.start(deed);
    await using nginx = await startNginx(upstreams.ports, impatient);
    assert.equal((await send(nginx.port, "GET", "/read?user_id=somebody")).status, 202);
    assert.equal(new Set(upstreams.asked.map(({ by }) => by)).size, 2);
  });
}

Deno.test("a write is not sent twice when the connection was used before, and breaks off", async () => {
  await using upstreams = await Upstreams.start(202, "breaks off");
  await using nginx = await startNginx(upstreams.ports);
  assert.equal((await send(nginx.port, "POST", "/write", RECORD)).status, 202);
  assert.equal((await send(nginx.port, "POST", "/write", RECORD)).status, 502);
  assert.equal(upstreams.asked.length, 2);
  assert.equal(upstreams.connections, 1);
});

Deno.test("a write that no server accepts (503) is answered by the service's own words", async () => {
  await using upstreams = await Upstreams.start(503, 503);
  await using nginx = await startNginx(upstreams.ports);
  const { status, text } = await send(nginx.port, "POST", "/write", RECORD);
  assert.deepEqual([status, text], [503, upstreams.asked[1]?.by]);
  assert.equal(new Set(upstreams.asked.map(({ by }) => by)).size, 2);
});

Deno.test("a write that one server did not accept (503) is given to the other one", async () => {
  await using upstreams = await Upstreams.start(503);
  await using nginx = await startNginx(upstreams.ports);
  assert.equal((await send(nginx.port, "POST", "/write", RECORD)).status, 202);
  assert.deepEqual(upstreams.asked.map(({ body }) => body), [RECORD, RECORD]);
  assert.equal(new Set(upstreams.asked.map(({ by }) => by)).size, 2);
});

Deno.test("an answer that is no 503 is the client's, whatever it says", async () => {
  for (const status of [400, 404, 413, 500]) {
    await using upstreams = await Upstreams.start(status);
    await using nginx = await startNginx(upstreams.ports);
    assert.equal((await send(nginx.port, "POST", "/write", RECORD)).status, status);
    assert.equal(upstreams.asked.length, 1, String(status));
  }
});
