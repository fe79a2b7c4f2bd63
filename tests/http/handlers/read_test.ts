import assert from "node:assert/strict";
import type { Entry, WriteId } from "../../../src/domain.ts";
import { AppError } from "../../../src/errors.ts";
import { readHandler } from "../../../src/http/handlers/read.ts";
import type { ReadResult } from "../../../src/reading/reader.ts";

const OURS: Entry = {
  userId: "ü/ü",
  value: "välue",
  ts: 5,
  acceptedMs: 1,
  run: "0123456789ab",
  seq: 7,
};
/** Another program has inserted it, so it has no write id. */
const FOREIGN: Entry = { ...OURS, acceptedMs: 0, run: "", seq: 0 };

const waitedFor: WriteId[] = [];

async function read(entry: Entry | undefined, headers: Record<string, string> = {}) {
  const result: ReadResult | undefined = entry && { entry, source: "store" };
  const handler = readHandler({
    reader: {
      read: () => Promise.resolve(result),
      readAfter: (_, write) => {
        waitedFor.push(write);
        return Promise.resolve(result);
      },
    },
    keyBytes: 16,
  });
  const request = new Request("http://localhost/read", { headers });
  const query = `user_id=${encodeURIComponent(OURS.userId)}`;
  const response = await handler({ request, query, pathParameter: "", door: "network" });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

Deno.test("a value is text, or JSON for who asks, and says when and where it is from", async () => {
  const text = await read(OURS);
  assert.deepEqual([text.status, text.text], [200, "välue"]);
  assert.equal(text.headers.get("content-type"), "text/plain; charset=utf-8");
  assert.equal(text.headers.get("dsproxy-ts"), "5");
  assert.equal(text.headers.get("dsproxy-source"), "store");
  assert.equal(text.headers.get("vary"), "accept");
  const json = await read(OURS, { accept: "application/json" });
  assert.equal(json.headers.get("content-type"), "application/json");
  assert.deepEqual(JSON.parse(json.text), { user_id: "ü/ü", value: "välue", ts: 5 });
});

Deno.test("a tag is of one version in one form, and names it for a 304", async () => {
  const tagOf = async (entry: Entry, accept = "*/*") =>
    (await read(entry, { accept })).headers.get("etag")!;
  const changed = { ...FOREIGN, value: "other" };
  const tags = [
    await tagOf(OURS),
    await tagOf(OURS, "application/json"),
    await tagOf({ ...OURS, seq: 8 }),
    await tagOf(FOREIGN),
    await tagOf(changed),
    await tagOf({ ...FOREIGN, ts: 6 }),
  ];
  assert.equal(new Set(tags).size, tags.length, tags.join(" "));
  for (const tag of tags) assert.match(tag, /^"[^",]+"$/);
  for (const [entry, tag] of [[OURS, tags[0]!], [FOREIGN, tags[3]!]] as const) {
    const same = await read(entry, { "if-none-match": `"x", W/${tag}` });
    assert.deepEqual([same.status, same.text, same.headers.get("etag")], [304, "", tag]);
  }
  assert.equal((await read(changed, { "if-none-match": tags[3]! })).status, 200);
});

Deno.test("of a user without a value nothing is found", async () => {
  await assert.rejects(read(undefined), { code: "user-not-found" });
});

Deno.test("Dsproxy-After names the write that is to be seen, and nothing else is taken for one", async () => {
  waitedFor.length = 0;
  const { status, text } = await read(OURS, { "dsproxy-after": "zzzzzzzzzzzz-7" });
  assert.deepEqual([status, text, waitedFor], [200, "välue", [{ run: "zzzzzzzzzzzz", seq: 7 }]]);
  await read(OURS);
  assert.equal(waitedFor.length, 1);
  for (const after of ["", "7", "zzzzzzzzzzzz", "zzzzzzzzzzzz-0", "zzzzzzzzzzzz-7, x"]) {
    await assert.rejects(
      read(OURS, { "dsproxy-after": after }),
      (error) => error instanceof AppError && error.code === "invalid-parameter",
      after,
    );
  }
});
