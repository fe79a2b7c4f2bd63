import assert from "node:assert/strict";
import { AppError } from "../../src/errors.ts";
import { BodyReader } from "../../src/http/body.ts";
import { FakeClock } from "../support/fake_clock.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** A body that sends what it is given and comes to an end when it is told to. */
function slowBody(...parts: readonly string[]) {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  const send = (text: string) => controller.enqueue(new TextEncoder().encode(text));
  parts.forEach(send);
  const request = new Request("http://localhost/write", { method: "POST", body });
  return { request, send, end: () => controller.close() };
}

/** The code of the AppError that reading ends with; undefined when it succeeds. */
async function codeOf(reading: Promise<unknown>): Promise<string | undefined> {
  try {
    await reading;
  } catch (error) {
    assert.ok(error instanceof AppError, String(error));
    return error.code;
  }
}

Deno.test("a body that has not ended after 30 s is body-timeout, no sooner", async () => {
  const clock = new FakeClock();
  const reader = new BodyReader(MIB, clock);
  const { request } = slowBody('{"user_id":');
  let code: string | undefined;
  const reading = codeOf(reader.read(request)).then((given) => code = given);
  await clock.advance(29_999);
  assert.equal(code, undefined);
  await clock.advance(1);
  await reading;
  assert.equal(code, "body-timeout");
});

Deno.test("a body that comes in time leaves no timer behind for longer", async () => {
  const clock = new FakeClock();
  const { request, send, end } = slowBody('{"a":');
  const reading = new BodyReader(MIB, clock).read(request);
  await clock.advance(29_000);
  send("1}");
  end();
  assert.equal(new TextDecoder().decode(await reading), '{"a":1}');
  await clock.advance(1_000);
  assert.equal(clock.timers, 0);
});

Deno.test("large bodies under way share 128 MiB, and give it back", async () => {
  const clock = new FakeClock();
  const reader = new BodyReader(64 * MIB, clock);
  const declared = (bytes: number) => {
    const { request, end } = slowBody();
    request.headers.set("content-length", String(bytes));
    return { reading: codeOf(reader.read(request)), end };
  };
  const first = declared(64 * MIB);
  const second = declared(64 * MIB);
  assert.equal(await declared(65 * KIB).reading, "overloaded");
  const small = declared(64 * KIB);
  small.end();
  assert.equal(await small.reading, undefined, "small ones go on");
  first.end();
  await first.reading;
  const third = declared(64 * MIB);
  third.end();
  assert.equal(await third.reading, undefined);
  second.end();
  await second.reading;
});

Deno.test("a declared length over the limit is refused before anything is read", async () => {
  const reader = new BodyReader(KIB, new FakeClock());
  const { request } = slowBody();
  request.headers.set("content-length", String(KIB + 1));
  assert.equal(await codeOf(reader.read(request)), "body-too-large");
  assert.equal(request.bodyUsed, false);
});
