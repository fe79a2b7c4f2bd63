import assert from "node:assert/strict";
import { join } from "node:path";
import { ADMIN_KEY, WITH_ADMIN_KEY } from "../support/admin_key.ts";
import { Dsproxy, type Environment } from "../support/dsproxy.ts";

const LIST = "/admin/dead-letters";

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-admin-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function ask(proxy: Dsproxy, headers: Record<string, string> = {}) {
  const response = await fetch(proxy.url + LIST, { headers });
  const { type, detail } = await response.json();
  return { status: response.status, type, detail, asks: response.headers.get("www-authenticate") };
}

async function list(settings: Environment) {
  await using run = Dsproxy.spawn(settings, ["dead-letters", "list"]);
  return await run.ended();
}

Deno.test("without a key the network opens no admin route, and the command does", () =>
  withFolder(async (dataDir) => {
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir });
    for (const headers of [{}, { host: "localhost" }, WITH_ADMIN_KEY] as Record<string, string>[]) {
      const { status, type, detail } = await ask(proxy, headers);
      assert.deepEqual([status, type], [403, "admin-only"]);
      assert.match(detail, /ADMIN_KEY/);
    }
    const { mode } = await Deno.lstat(join(dataDir, "admin.sock"));
    assert.equal(mode! & 0o777, 0o600);
    const { code, stdout, log } = await list(proxy.settings);
    assert.deepEqual([code, stdout], [0, "No dead letters.\n"], log);
    await proxy.stop();
    const afterwards = await list(proxy.settings);
    assert.equal(afterwards.code, 1);
    assert.match(afterwards.log, /no answer from .*admin\.sock .*the same DATA_DIR/);
  }));

Deno.test("with a key the network opens them to who has it, and the command needs none", () =>
  withFolder(async (dataDir) => {
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, ADMIN_KEY });
    assert.equal((await ask(proxy, WITH_ADMIN_KEY)).status, 200);
    for (const authorization of [undefined, "Bearer wrong", `Bearer ${ADMIN_KEY}`]) {
      const refused = await ask(proxy, authorization === undefined ? {} : { authorization });
      assert.deepEqual(
        [refused.status, refused.type, refused.asks],
        [401, "unauthorized", "Bearer"],
      );
    }
    assert.equal((await list(proxy.settings)).code, 0);
    await proxy.stop();
  }));

Deno.test("after a kill the next start has the admin socket again", () =>
  withFolder(async (dataDir) => {
    const settings = { DATA_DIR: dataDir };
    {
      await using proxy = await Dsproxy.start(settings);
      await proxy.kill();
    }
    assert.ok((await Deno.lstat(join(dataDir, "admin.sock"))).isSocket, "it is left behind");
    await using proxy = await Dsproxy.start(settings);
    assert.equal((await list(settings)).code, 0);
    await proxy.stop();
    await assert.rejects(Deno.lstat(join(dataDir, "admin.sock")), Deno.errors.NotFound);
  }));

Deno.test("two instances cannot share an admin socket: the second does not start", () =>
  withFolder(async (folder) => {
    const settings = (name: string) => ({
      DATA_DIR: join(folder, name),
      ADMIN_SOCKET: join(folder, "shared.sock"),
    });
    await using first = await Dsproxy.start(settings("first"));
    await using second = Dsproxy.spawn(settings("second"));
    const { code, log } = await second.ended();
    assert.equal(code, 1);
    assert.match(log, /Another process answers at the admin socket .*ADMIN_SOCKET/);
    assert.equal((await list(first.settings)).code, 0);
    await first.stop();
  }));

Deno.test("where a path is too long for a socket the command finds the other one", () =>
  withFolder(async (folder) => {
    const settings = { DATA_DIR: join(folder, "d".repeat(120)) };
    await using proxy = await Dsproxy.start(settings);
    const place = /listening on the socket (\S+?)"/.exec(proxy.log)?.[1];
    assert.ok(place !== undefined && place.length < 108, proxy.log);
    const { code, stdout, log } = await list(settings);
    assert.deepEqual([code, stdout], [0, "No dead letters.\n"], log);
    await proxy.stop();
    await assert.rejects(Deno.lstat(join(place, "..")), Deno.errors.NotFound);
  }));
