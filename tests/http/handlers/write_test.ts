import assert from "node:assert/strict";
import { ACK_LEVELS, type AckLevel, type Entry, type Write } from "../../../src/domain.ts";
import { writeHandler } from "../../../src/http/handlers/write.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const ID = "0123456789ab-7";

/** Answers a write, with a writer that reaches `reached` whatever is asked of it. */
async function answerTo(
  query: string,
  body: string,
  { defaultAck = "durable", reached, hasBroker = true }: {
    defaultAck?: AckLevel;
    reached?: AckLevel;
    hasBroker?: boolean;
  } = {},
) {
  const asked: { write: Write; ack: AckLevel }[] = [];
  const clock = new FakeClock();
  const handler = writeHandler({
    writer: {
      write: (write, ack) => {
        asked.push({ write, ack });
        const version = { acceptedMs: clock.now(), run: "0123456789ab", seq: 7 };
        const entry: Entry = { ...write, ...version };
        return Promise.resolve({ entry, ack: reached ?? ack });
      },
    },
    limits: { bodyBytes: 1024, keyBytes: 16, valueBytes: 64 },
    defaultAck,
    hasBroker,
    clock,
  });
  const request = new Request("http://localhost/write", { method: "POST", body });
  const response = await handler({ request, query, pathParameter: "", door: "network" });
  return { asked, response, text: await response.text(), nowMs: clock.now() };
}

const RECORD = '{"user_id":"u","value":"v","ts":5}';

Deno.test("each ack level is asked of the writer as the client asks for it", async () => {
  for (const ack of ACK_LEVELS) {
    const { asked, response, text } = await answerTo(`ack=${ack}`, RECORD);
    assert.deepEqual(asked, [{ write: { userId: "u", value: "v", ts: 5 }, ack }]);
    assert.equal(response.headers.get("dsproxy-write-id"), ID);
    assert.deepEqual(
      [response.status, text, response.headers.get("link")],
      ack === "flushed" ? [201, "flushed", null] : [202, "accepted", null],
    );
  }
});

Deno.test("without a level in the query the configured one is asked for", async () => {
  for (const defaultAck of ACK_LEVELS) {
    for (const query of ["", "other=1"]) {
      const { asked } = await answerTo(query, RECORD, { defaultAck });
      assert.equal(asked[0]!.ack, defaultAck);
    }
  }
});

Deno.test("what is not reached in time is 202, with a link to where its status is", async () => {
  for (
    const [wanted, reached] of [
      ["flushed", "durable"],
      ["flushed", "replicated"],
      ["replicated", "durable"],
    ] as const
  ) {
    for (const [query, defaultAck] of [[`ack=${wanted}`, "durable"], ["", wanted]] as const) {
      const { response, text } = await answerTo(query, RECORD, { defaultAck, reached });
      assert.deepEqual([response.status, text], [202, "accepted"]);
      assert.equal(response.headers.get("dsproxy-ack"), reached);
      assert.equal(response.headers.get("link"), `</writes/${ID}>; rel="status"`);
    }
  }
});

Deno.test("the level that was reached is named where another one could have been", async () => {
  for (const ack of ACK_LEVELS) {
    const named = ack === "replicated" || ack === "flushed" ? ack : null;
    for (const [query, defaultAck] of [[`ack=${ack}`, "durable"], ["", ack]] as const) {
      const { response } = await answerTo(query, RECORD, { defaultAck });
      assert.equal(response.headers.get("dsproxy-ack"), named, `${query} ${defaultAck}`);
    }
  }
});

Deno.test("an instance without a broker says so, and which levels it has", async () => {
  const answer = (query: string) => answerTo(query, RECORD, { hasBroker: false });
  await assert.rejects(answer("ack=replicated"), {
    code: "invalid-parameter",
    message: "ack=replicated needs a broker, and this instance has none; " +
      "use one of accepted, durable, flushed.",
  });
  await assert.rejects(answer("ack=maybe"), {
    message: "ack=maybe is not a level; use one of accepted, durable, flushed.",
  });
  await assert.rejects(answerTo("ack=maybe", RECORD), {
    message: "ack=maybe is not a level; use one of accepted, durable, replicated, flushed.",
  });
  for (const ack of ["accepted", "durable", "flushed"]) {
    assert.deepEqual((await answer(`ack=${ack}`)).asked.map((asked) => asked.ack), [ack]);
  }
});

Deno.test("a record without ts is of the time of its acceptance", async () => {
  const { asked, nowMs } = await answerTo("", '{"user_id":"u","value":""}');
  assert.equal(asked[0]!.write.ts, Math.floor(nowMs / 1000));
});

Deno.test("what is refused never reaches the writer", async () => {
  for (
    const [query, body, code] of [
      ["ack=maybe", RECORD, "invalid-parameter"],
      ["ack=durable&ack=accepted", RECORD, "invalid-parameter"],
      ["", "{", "invalid-json"],
      ["", "[]", "invalid-record"],
      ["", '{"value":"v"}', "missing-user-id"],
      ["", JSON.stringify({ user_id: "u", value: "x".repeat(65) }), "invalid-record"],
      ["", " ".repeat(1025), "body-too-large"],
    ] as const
  ) {
    await assert.rejects(answerTo(query, body), { code }, `${query} ${body.slice(0, 20)}`);
  }
});
