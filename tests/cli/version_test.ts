import assert from "node:assert/strict";
import { VERSION } from "../../src/version.ts";

Deno.test("the program, deno.json and the changelog name the same version", async () => {
  const root = new URL("../..", import.meta.url);
  const { version } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  assert.equal(version, VERSION);
  const newest = /^## (\S+)/m.exec(await Deno.readTextFile(new URL("CHANGELOG.md", root)))?.[1];
  assert.equal(newest, VERSION);
});
