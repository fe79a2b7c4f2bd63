/**
 * What drives a browser has dependencies of its own, large ones, which `deno compile` would take
 * into the program with the project's lock. So it has a configuration of its own, and is run by this.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const DRIVEN = fileURLToPath(new URL("driven", import.meta.url));

Deno.test("the page works in a real Chromium", async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--config", `${DRIVEN}/deno.json`, "--allow-all", "--no-check", DRIVEN],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
  assert.ok(success, text);
  assert.match(text, /\nok \| [1-9]\d* passed/);
});
