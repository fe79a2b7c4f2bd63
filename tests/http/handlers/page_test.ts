import assert from "node:assert/strict";
import { AppError } from "../../../src/errors.ts";
import { pageHandlers } from "../../../src/http/handlers/page.ts";

const { root, page, pageFile } = pageHandlers(true);

function contextOf(headers: HeadersInit = {}, pathParameter = "") {
  return {
    request: new Request("http://localhost/", { headers }),
    query: "",
    pathParameter,
    door: "network",
  } as const;
}

function isNoSuchPath(error: unknown): boolean {
  return error instanceof AppError && error.code === "no-such-path";
}

Deno.test("a browser is led from the root to the page, and nobody else", async () => {
  const accept = "text/html,application/xhtml+xml,*/*;q=0.8";
  const response = await root(contextOf({ accept }));
  assert.equal(response.status, 303);
  assert.equal(response.headers.get("location"), "dashboard");
  for (const accept of ["*/*", "application/json", "text/html;q=0", "text/*"]) {
    assert.throws(() => root(contextOf({ accept })), isNoSuchPath, accept);
  }
  assert.throws(() => root(contextOf()), isNoSuchPath);
});

Deno.test("the page comes with a strict policy, and so does each of its files", async () => {
  const files = ["page.js", "stream.js", "page.css", "icon.svg"];
  const answers = await Promise.all([
    page(contextOf()),
    ...files.map((name) => pageFile(contextOf({}, name))),
  ]);
  for (const { status, headers } of answers) {
    assert.equal(status, 200);
    const policy = headers.get("content-security-policy")!;
    assert.match(policy, /^default-src 'none'; /);
    for (const directive of ["frame-ancestors", "base-uri", "form-action"]) {
      assert.ok(policy.includes(`; ${directive} 'none'`), directive);
    }
    assert.ok(!/unsafe|\*|https?:|data:/.test(policy), policy);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
  }
  assert.equal(answers[0]!.headers.get("content-type"), "text/html; charset=utf-8");
  assert.equal(answers[2]!.headers.get("content-type"), "text/javascript; charset=utf-8");
  assert.match(await answers[0]!.text(), /^<!DOCTYPE html>/);
});

Deno.test("there is nothing else beside the page, and nothing at all where it is off", () => {
  for (const name of ["page.html", "main.ts", "constructor", "__proto__"]) {
    assert.throws(() => pageFile(contextOf({}, name)), isNoSuchPath, name);
  }
  const off = pageHandlers(false);
  assert.throws(() => off.page(contextOf()), isNoSuchPath);
  assert.throws(() => off.pageFile(contextOf({}, "page.js")), isNoSuchPath);
  assert.throws(() => off.root(contextOf({ accept: "text/html" })), isNoSuchPath);
});
