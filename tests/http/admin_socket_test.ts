import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { AdminSocket, findAdminSocket, SocketInUseError } from "../../src/http/admin_socket.ts";
import { Log } from "../../src/telemetry/log.ts";

const POINTER = "admin.sock.path";

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_socket_" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A socket that answers with its name, and what it logged. */
function adminSocket(dataDir: string, path = join(dataDir, "admin.sock"), name = "x") {
  const lines: string[] = [];
  const log = new Log("debug", "json", (line) => lines.push(line));
  const handle = () => Promise.resolve(new Response(name));
  const socket = new AdminSocket({ path, dataDir, log, handle });
  return { socket, lines, path, dataDir };
}

function ask(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/", agent: false }, (response) => {
      let text = "";
      response.on("data", (part) => text += part);
      response.on("end", () => resolve(text));
    });
    asked.on("error", reject);
    asked.end();
  });
}

const modeOf = async (path: string) => (await Deno.lstat(path)).mode! & 0o777;
const namesIn = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();

/** What a killed process leaves: a socket that nobody listens on. */
async function leaveStaleSocket(path: string): Promise<void> {
  const bound = `${path}~`;
  const server = Deno.serve({ path: bound, onListen: () => {} }, () => new Response("dead"));
  await Deno.rename(bound, path); // Where it was bound, Deno would remove it.
  await server.shutdown();
  assert.ok((await Deno.lstat(path)).isSocket);
}

Deno.test("the admin socket is at its place, open to its owner only, until it stops", () =>
  withFolder(async (folder) => {
    const { socket, path, lines } = adminSocket(folder);
    await socket.start();
    assert.equal(await ask(path), "x");
    assert.equal(await modeOf(path), 0o600);
    assert.deepEqual(await namesIn(folder), ["admin.sock"]);
    assert.ok(lines.some((line) => line.includes(path)), "the path is printed");
    await socket.stop();
    assert.deepEqual(await namesIn(folder), []);
  }));

Deno.test("there is no moment in which others could open the admin socket", () =>
  withFolder(async (folder) => {
    // Every mode that the way to a socket ever has, seen as it changes: the socket itself, and the
    // folder that it is made in.
    const seen: string[] = [];
    const { chmod, rename } = Deno;
    const note = async (path: string | URL) => {
      const owner = (await modeOf(join(String(path), ".."))) === 0o700;
      const closed = (await modeOf(String(path))) === 0o600;
      seen.push(owner ? "in a closed folder" : closed ? "closed" : "open to others");
    };
    await chmod(folder, 0o755); // The folder of the data is no protection here.
    try {
      Deno.chmod = async (path, mode) => {
        await note(path);
        await chmod(path, mode);
      };
      Deno.rename = async (from, to) => {
        await note(from);
        await rename(from, to);
        await note(to);
      };
      const { socket } = adminSocket(folder);
      await socket.start();
      await socket.stop();
    } finally {
      Object.assign(Deno, { chmod, rename });
    }
    assert.deepEqual(seen, ["in a closed folder", "in a closed folder", "closed"]);
  }));

Deno.test("a socket whose process is dead is replaced, and so is a half-made one", () =>
  withFolder(async (folder) => {
    const { socket, path } = adminSocket(folder);
    await leaveStaleSocket(path);
    await Deno.mkdir(join(folder, ".sock"));
    await leaveStaleSocket(join(folder, ".sock/s"));
    await socket.start();
    assert.equal(await ask(path), "x");
    await socket.stop();
    assert.deepEqual(await namesIn(folder), []);
  }));

Deno.test("a socket that somebody answers on is not replaced, nor removed", () =>
  withFolder(async (folder) => {
    const first = adminSocket(folder, undefined, "first");
    await first.socket.start();
    const second = adminSocket(folder, undefined, "second");
    await assert.rejects(second.socket.start(), (error) => {
      assert.ok(error instanceof SocketInUseError);
      assert.match(error.message, /ADMIN_SOCKET/);
      return true;
    });
    await second.socket.stop();
    assert.equal(await ask(first.path), "first");
    await first.socket.stop();
  }));

Deno.test("what is no socket is left as it is, and the socket is elsewhere", () =>
  withFolder(async (folder) => {
    const { socket, path, dataDir } = adminSocket(folder);
    await Deno.writeTextFile(path, "notes");
    await socket.start();
    assert.equal(await Deno.readTextFile(path), "notes");
    assert.equal(await ask(await findAdminSocket({ path, dataDir })), "x");
    await socket.stop();
    assert.deepEqual(await namesIn(folder), ["admin.sock"]);
  }));

Deno.test("where the path is too long a short one is chosen, printed, found, and taken away", () =>
  withFolder(async (folder) => {
    const dataDir = join(folder, "d".repeat(110));
    await Deno.mkdir(dataDir);
    const { socket, path, lines } = adminSocket(dataDir);
    await socket.start();
    const chosen = await findAdminSocket({ path, dataDir });
    assert.notEqual(chosen, path);
    assert.equal(await ask(chosen), "x");
    assert.deepEqual([await modeOf(chosen), await modeOf(join(chosen, ".."))], [0o600, 0o700]);
    assert.ok(lines.some((line) => line.includes(chosen)), lines.join("\n"));
    assert.ok(lines.some((line) => line.includes("too long")), lines.join("\n"));
    assert.equal(await modeOf(join(dataDir, POINTER)), 0o600);
    await socket.stop();
    assert.deepEqual(await namesIn(dataDir), []);
    await assert.rejects(Deno.lstat(join(chosen, "..")), Deno.errors.NotFound);
  }));

Deno.test("a chosen socket of a killed process goes at the next start", () =>
  withFolder(async (folder) => {
    const dataDir = join(folder, "d".repeat(110));
    await Deno.mkdir(dataDir);
    const left = await Deno.makeTempDir({ prefix: "dsproxy-" });
    await leaveStaleSocket(join(left, "admin.sock"));
    await Deno.writeTextFile(join(dataDir, POINTER), join(left, "admin.sock"));
    const { socket, path } = adminSocket(dataDir);
    await socket.start();
    await assert.rejects(Deno.lstat(left), Deno.errors.NotFound);
    assert.equal(await ask(await findAdminSocket({ path, dataDir })), "x");
    await socket.stop();
  }));

Deno.test("every path up to the limit of the system is taken as it is", () =>
  withFolder(async (folder) => {
    for (const bytes of [106, 107]) {
      const path = join(folder, "a".repeat(bytes - folder.length - 1));
      const { socket } = adminSocket(folder, path);
      await socket.start();
      assert.equal(await ask(path), "x", `${bytes} bytes`);
      await socket.stop();
    }
  }));
