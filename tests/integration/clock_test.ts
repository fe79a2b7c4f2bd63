import assert from "node:assert/strict";
import { Dsproxy, eventually } from "../support/dsproxy.ts";

Deno.test("a clock that is set, or was set back, is warned of once and counted", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-clock-" });
  try {
    {
      await using running = await Dsproxy.start({ DATA_DIR: dataDir }, {
        main: "tests/fault/failpoint_main.ts",
      });
      assert.equal(await running.metric("dsproxy_clock_steps_total"), 0);
      running.process.kill("SIGUSR2"); // Its clock is an hour ahead from here on.
      await eventually(
        "the step is counted",
        async () => await running.metric("dsproxy_clock_steps_total") === 1,
        5_000,
      );
      await running.accept({ user_id: "u", value: "from the future" });
      await running.stop();
      assert.equal(running.log.split("The clock jumped forward").length - 1, 1, running.log);
    }
    await using next = await Dsproxy.start({ DATA_DIR: dataDir });
    assert.equal(await next.metric("dsproxy_clock_steps_total"), 1);
    assert.match(
      next.log,
      /"level":"warn","message":"The clock is behind the last write.*"lastAccepted":"/,
    );
    await next.stop();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
