/**
 * Every refusal of the contract: what is sent, and the status and type of the problem document that
 * answers it.
 */
import assert from "node:assert/strict";
import {
  assertProblem,
  type Checks,
  type Client,
  newUser,
  nowSeconds,
  type RequestOptions,
} from "./client.ts";

const MIB = 1024 * 1024;

/** The body of a write of a new user, with these members put over it. */
function record(members: Record<string, unknown>): RequestOptions {
  return { body: JSON.stringify({ user_id: newUser(), value: "v", ...members }) };
}

const REFUSALS: [
  what: string,
  method: string,
  path: string,
  options: RequestOptions,
  status: number,
  type: string,
][] = [
  ["a body that is not JSON", "POST", "/write", { body: "{user_id:1}" }, 400, "invalid-json"],
  ["an empty body", "POST", "/write", {}, 400, "invalid-json"],
  [
    "a body that is not UTF-8",
    "POST",
    "/write",
    { body: new Uint8Array([0x22, 0xff, 0x22]) },
    400,
    "invalid-json",
  ],
  ["an array", "POST", "/write", { body: "[]" }, 400, "invalid-record"],
  [
    "a write without user_id",
    "POST",
    "/write",
    record({ user_id: undefined }),
    400,
    "missing-user-id",
  ],
  [
    "a write with an empty user_id",
    "POST",
    "/write",
    record({ user_id: "" }),
    400,
    "missing-user-id",
  ],
  ["a user_id that is a number", "POST", "/write", record({ user_id: 1 }), 400, "invalid-record"],
  [
    "a user_id that is too long",
    "POST",
    "/write",
    record({ user_id: "é".repeat(513) }),
    400,
    "invalid-record",
  ],
  ["NUL in a user_id", "POST", "/write", record({ user_id: "a\0b" }), 400, "invalid-record"],
  [
    "half a surrogate pair in a user_id",
    "POST",
    "/write",
    record({ user_id: "\ud800" }),
    400,
    "invalid-record",
  ],
  ["a write without value", "POST", "/write", record({ value: undefined }), 400, "invalid-record"],
  ["a value that is null", "POST", "/write", record({ value: null }), 400, "invalid-record"],
  ["NUL in a value", "POST", "/write", record({ value: "\0" }), 400, "invalid-record"],
  [
    "half a surrogate pair in a value",
    "POST",
    "/write",
    record({ value: "a\udc00" }),
    400,
    "invalid-record",
  ],
  ["an unknown member", "POST", "/write", record({ valeu: "v" }), 400, "invalid-record"],
  ["a ts that is text", "POST", "/write", record({ ts: "1700000000" }), 400, "invalid-record"],
  ["a ts below 0", "POST", "/write", record({ ts: -1 }), 400, "invalid-record"],
  ["a ts with a fraction", "POST", "/write", record({ ts: 1.5 }), 400, "invalid-record"],
  ["a ts in milliseconds", "POST", "/write", record({ ts: Date.now() }), 400, "invalid-record"],
  [
    "a ts two days ahead",
    "POST",
    "/write",
    record({ ts: nowSeconds() + 172_800 }),
    400,
    "invalid-record",
  ],
  ["an unknown ack level", "POST", "/write?ack=maybe", record({}), 400, "invalid-parameter"],
  ["a multipart body", "POST", "/write", { body: new FormData() }, 415, "unsupported-media-type"],
  [
    "a charset other than UTF-8",
    "POST",
    "/write",
    { ...record({}), headers: { "content-type": "application/json; charset=utf-16" } },
    415,
    "unsupported-media-type",
  ],
  [
    "a write from a foreign page",
    "POST",
    "/write",
    {
      ...record({}),
      headers: { origin: "https://foreign.invalid", "sec-fetch-site": "cross-site" },
    },
    403,
    "cross-site-request",
  ],
  ["a read without user_id", "GET", "/read", {}, 400, "missing-user-id"],
  ["a read with an empty user_id", "GET", "/read?user_id=", {}, 400, "missing-user-id"],
  ["a read with two user_ids", "GET", "/read?user_id=a&user_id=b", {}, 400, "invalid-parameter"],
  [
    "a read of a user_id that is not UTF-8",
    "GET",
    "/read?user_id=%ff",
    {},
    400,
    "invalid-parameter",
  ],
  ["a read of NUL", "GET", "/read?user_id=a%00", {}, 400, "invalid-record"],
  ["an unknown path", "GET", "/nowhere", {}, 404, "no-such-path"],
  ["an unknown write", "GET", "/writes/unknown", {}, 404, "write-not-found"],
];

export const refusing: Checks = {
  ...Object.fromEntries(REFUSALS.map(([what, method, path, options, status, type]) => [
    `${what} is ${status} ${type}`,
    async (client: Client) =>
      assertProblem(await client.request(method, path, options), status, type),
  ])),

  "a wrong method is 405 with Allow": async (client) => {
    for (
      const [method, path, allowed] of [["GET", "/write", "POST"], ["POST", "/read", "GET"], [
        "PUT",
        "/metrics",
        "GET",
      ]] as const
    ) {
      const answer = await client.request(method, path);
      assertProblem(answer, 405, "method-not-allowed");
      assert.ok(
        (answer.headers.get("allow") ?? "").split(/, */).includes(allowed),
        `Allow of ${path}`,
      );
    }
  },

  "a body over the limit is 413, and the connection survives or closes cleanly": async (client) => {
    // MAX_BODY_BYTES is 1 MiB unless the instance is configured otherwise, and 64 MiB at most.
    const [small, large] = [2 * MIB, 64 * MIB + 1];
    let answer = await client.request("POST", "/write", { body: " ".repeat(small) });
    if (answer.status === 400) {
      answer = await client.request("POST", "/write", { body: " ".repeat(large) });
    }
    assertProblem(answer, 413, "body-too-large");
    const user = newUser();
    await client.mustWrite({ user_id: user, value: "after" });
    await client.mustRead(user, "after");
  },

  "what was refused was not written": async (client) => {
    const user = newUser();
    assertProblem(
      await client.write({ user_id: user, value: "v", extra: 1 }),
      400,
      "invalid-record",
    );
    assertProblem(await client.read(user), 404, "user-not-found");
  },
};
