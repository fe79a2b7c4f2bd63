/**
 * A smoke test of a running instance, in seconds. `deno task test:quick [URL]`; also the URL in
 * DSPROXY_URL.
 */
import assert from "node:assert/strict";
import { assertProblem, eventually, newUser, runChecks } from "./client.ts";

await runChecks({
  "the instance is alive and ready": async (client) => {
    assert.equal((await client.request("GET", "/livez")).status, 200);
    await eventually(
      async () => assert.equal((await client.request("GET", "/readyz")).status, 200),
      10_000,
    );
  },

  "a write is answered 202 and is readable at once": async (client) => {
    const user = newUser();
    const answer = await client.write({ user_id: user, value: "hello" });
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.text.trim(), "accepted");
    await client.mustRead(user, "hello");
  },

  "a body sent as curl -d sends it is read as JSON": async (client) => {
    const user = newUser();
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const body = JSON.stringify({ user_id: user, value: "form" });
    assert.equal((await client.request("POST", "/write", { headers, body })).status, 202);
    await client.mustRead(user, "form");
  },

  "a later write replaces an earlier one": async (client) => {
    const user = newUser();
    await client.mustWrite({ user_id: user, value: "first" });
    await client.mustWrite({ user_id: user, value: "second" });
    await client.mustRead(user, "second");
  },

  "a write reaches the store": async (client) => {
    const user = newUser();
    await client.mustBeFlushed(await client.mustWrite({ user_id: user, value: "stored" }));
    await client.mustRead(user, "stored");
  },

  "an unknown user is 404, a missing user_id is 400": async (client) => {
    assertProblem(await client.read(newUser()), 404, "user-not-found");
    assertProblem(await client.request("GET", "/read"), 400, "missing-user-id");
  },

  "a body that is not JSON is 400": async (client) => {
    assertProblem(await client.request("POST", "/write", { body: "hello" }), 400, "invalid-json");
  },

  "metrics count the writes": async (client) => {
    const before = (await client.metrics()).sum("dsproxy_writes_total") ?? 0;
    await client.mustWrite({ user_id: newUser(), value: "counted" });
    const after = (await client.metrics()).sum("dsproxy_writes_total") ?? 0;
    assert.ok(after > before, `dsproxy_writes_total went from ${before} to ${after}`);
  },
});
