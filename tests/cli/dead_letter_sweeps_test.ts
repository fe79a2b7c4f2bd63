import assert from "node:assert/strict";
import { runDeadLetters } from "../../src/cli/dead_letters.ts";
import type { CallInstance } from "../../src/cli/instance_client.ts";

/** An instance that counts three, and deals with them in two steps; and what it was asked. */
function instance(counted = 3) {
  const asked: string[] = [];
  const call: CallInstance = (method, path) => {
    asked.push(`${method} ${path}`);
    const answer = path.includes("/count")
      ? { count: counted, reasons: [{ code: "23514", count: counted - 1 }] }
      : path.includes("after=")
      ? { done: 1, refused: 0, remaining: 0, next: null }
      : { done: 1, refused: 1, remaining: 1, next: "1.2.3.x/y" };
    return Promise.resolve({ status: 200, text: JSON.stringify(answer) });
  };
  return { asked, call };
}

const ROUTE = "/admin/dead-letters";
const nobody = { isThere: false, confirm: () => assert.fail("nobody can be asked") };
const discard = { action: "discard", filter: { user: "ü&x" }, yes: false } as const;

Deno.test("a person sees how many would be discarded, and confirms that number", async () => {
  const { asked, call } = instance();
  const questions: string[] = [];
  const person = { isThere: true, confirm: (text: string) => !!questions.push(text) };
  const { ok, message } = await runDeadLetters(discard, call, person);
  assert.deepEqual(questions, ["Discard 3 dead letters (23514: 2, other codes: 1) for good?"]);
  assert.deepEqual(asked, [
    `GET ${ROUTE}/count?user_id=%C3%BC%26x`,
    `POST ${ROUTE}/discard?user_id=%C3%BC%26x&expect=3`,
    `POST ${ROUTE}/discard?user_id=%C3%BC%26x&after=1.2.3.x%2Fy`,
  ]);
  assert.equal(ok, false, "one was refused");
  assert.match(message, /^2 discarded, 1 not\n/);
});

Deno.test("who says no, or cannot be asked, has nothing discarded", async () => {
  const unsure = instance();
  const no = { isThere: true, confirm: () => false };
  const refused = await runDeadLetters(discard, unsure.call, no);
  assert.deepEqual(refused, { ok: false, message: "Nothing was discarded." });
  const script = instance();
  const { ok, message } = await runDeadLetters({ ...discard, filter: {} }, script.call, nobody);
  assert.equal(ok, false);
  assert.match(message, /would discard 3 dead letters .* Say --yes/);
  for (const { asked } of [unsure, script]) assert.equal(asked.length, 1, "they were counted");
});

Deno.test("--yes, a replay, and nothing to discard need no question", async () => {
  for (const request of [{ ...discard, yes: true }, { ...discard, action: "replay" } as const]) {
    const { asked, call } = instance();
    await runDeadLetters({ ...request, filter: {} }, call, nobody);
    assert.equal(asked[1], `POST ${ROUTE}/${request.action}?all=true&expect=3`);
  }
  const { asked, call } = instance(0);
  await runDeadLetters(discard, call, nobody);
  assert.equal(asked[1], `POST ${ROUTE}/discard?user_id=%C3%BC%26x&expect=0`);
});
