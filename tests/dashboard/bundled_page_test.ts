import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { BUNDLED_PAGE } from "../../src/dashboard/bundled_page.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAGE = "src/dashboard/page";

Deno.test("the page that is served is what its sources give", async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--config", `${PAGE}/deno.json`, `${PAGE}/bundle.ts`, "--print"],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  const committed = await Deno.readTextFile(`${ROOT}/src/dashboard/bundled_page.ts`);
  // Not compared by assert, which would print all of both.
  assert.ok(new TextDecoder().decode(stdout) === committed, "Run `deno task bundle`, and commit");
});

Deno.test("the page names nothing but files of its own", () => {
  const html = BUNDLED_PAGE["page.html"];
  const named = [...html.matchAll(/\b(?:src|href)="([^"#][^"]*)"/g)].map(([, path]) => path!);
  assert.ok(named.length > 0);
  for (const path of named) {
    const file = path.replace(/^dashboard\//, "");
    assert.ok(file !== path && Object.hasOwn(BUNDLED_PAGE, file), path);
  }
  assert.ok(!/<style|\sstyle=|\son\w+=|<script(?![^>]* src=)/.test(html), "something is inline");
  assert.ok(!/url\(|@import/.test(BUNDLED_PAGE["page.css"]));
});
