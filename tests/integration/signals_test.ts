import assert from "node:assert/strict";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";

async function withInstance(
  work: (proxy: Dsproxy, dataDir: string) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-signals-" });
  try {
    await using proxy = await Dsproxy.start({
      DATA_DIR: dataDir,
      BATCH_INTERVAL: "1h",
      BATCH_SIZE: "1000",
    });
    await work(proxy, dataDir);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** True when the debugger of this process, of all that may listen there, can be reached. */
async function debuggerIsOpen(pid: number): Promise<boolean> {
  try {
    return (await (await fetch("http://127.0.0.1:9229/json/list")).text()).includes(`pid: ${pid}]`);
  } catch {
    return false; // Nobody listens there.
  }
}

Deno.test("SIGHUP, SIGUSR1, SIGUSR2 and SIGPIPE end nothing and are explained", () =>
  withInstance(async (proxy) => {
    await proxy.accept({ user_id: "before", value: "v" });
    for (const signal of ["SIGHUP", "SIGUSR2", "SIGPIPE", "SIGUSR1"] as const) {
      for (let i = 0; i < 3; i++) proxy.process.kill(signal);
    }
    await eventually(
      "the last one is logged",
      () => Promise.resolve(proxy.log.includes("SIGUSR1 is ignored")),
      5_000,
    );
    for (const signal of ["SIGHUP", "SIGUSR2"]) {
      assert.match(proxy.log, new RegExp(`"level":"info","message":"${signal} is ignored\\. `));
    }
    await proxy.accept({ user_id: "after", value: "v" });
    assert.equal(await proxy.status("/readyz"), 200);
    await proxy.stop();
    assert.match(proxy.log, /"leftInJournal":0/);
  }));

Deno.test("the debugger that Deno opens on SIGUSR1 does not stay open", () =>
  withInstance(async (proxy) => {
    // Deno begins to listen for it half a second after the start.
    await delay(1_000);
    proxy.process.kill("SIGUSR1");
    await eventually(
      "it is logged",
      () => Promise.resolve(proxy.log.includes("SIGUSR1 is ignored")),
      5_000,
    );
    await delay(1_500);
    for (let i = 0; i < 10; i++) {
      assert.equal(await debuggerIsOpen(proxy.process.pid), false);
      await delay(50);
    }
    await proxy.stop();
  }));

for (const signal of ["SIGQUIT", "SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} stops in order: what waits is stored, and the exit code is 0`, () =>
    withInstance(async (proxy) => {
      for (let i = 0; i < 20; i++) await proxy.accept({ user_id: `u${i}`, value: "v" });
      proxy.process.kill(signal);
      const { code, log } = await proxy.ended();
      assert.equal(code, 0, log);
      assert.match(log, /"leftInJournal":0/);
    }));
}

Deno.test("a signal that is ignored while it stops does not cut the stop short", () =>
  withInstance(async (proxy) => {
    for (let i = 0; i < 20; i++) await proxy.accept({ user_id: `u${i}`, value: "v" });
    proxy.process.kill("SIGTERM");
    await eventually(
      "the stop begins",
      () => Promise.resolve(proxy.log.includes("Shutting down")),
      5_000,
    );
    for (const other of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) proxy.process.kill(other);
    const { code, log } = await proxy.ended();
    assert.equal(code, 0, log);
    assert.match(log, /"leftInJournal":0/);
  }));
