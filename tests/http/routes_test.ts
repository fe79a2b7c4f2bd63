import assert from "node:assert/strict";
import { findResource, ROUTES, routesHelp } from "../../src/http/routes.ts";

Deno.test("each route of the table is found by its path and method, with its parameter", () => {
  for (const route of ROUTES) {
    const found = findResource(route.path.replace(/\{\w+\}/, "0123456789ab-1"));
    assert.equal(found?.resource.routes.get(route.method), route, route.path);
    assert.equal(found?.pathParameter, route.path.includes("{") ? "0123456789ab-1" : "");
  }
});

Deno.test("nothing but the paths of the table is found", () => {
  const none = [
    "",
    "//",
    "/write/",
    "/Write",
    "/writes/",
    "/writes/a/b",
    "/writes/{id}/",
    "//read",
  ];
  for (const path of [...none, "/admin", "/admin/dead-letters/", "/admin/dead-letters/replay/x"]) {
    assert.equal(findResource(path), undefined, path);
  }
  assert.equal(findResource("/admin/dead-letters/x/replay")?.pathParameter, "x");
});

Deno.test("no two routes are one, and every admin route asks who it is", () => {
  const names = ROUTES.map(({ method, path }) => `${method} ${path}`);
  assert.equal(new Set(names).size, names.length);
  for (const { guards, path } of ROUTES) {
    assert.equal(guards.includes("admin-access"), path.startsWith("/admin"), path);
    // A link on any site may lead to the page, which is the same for everybody.
    const isPage = path === "/" || path.startsWith("/dashboard");
    assert.equal(guards.includes("cross-site"), !isPage, path);
  }
});

Deno.test("Allow names each method of a path, and HEAD where there is GET", () => {
  assert.equal(findResource("/write")?.resource.allow, "POST");
  assert.equal(findResource("/admin/dead-letters/x")?.resource.allow, "DELETE, GET, HEAD");
});

Deno.test("the help has a line for each route", () => {
  assert.equal(routesHelp().trimEnd().split("\n").length, ROUTES.length);
});
