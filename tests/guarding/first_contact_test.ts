import assert from "node:assert/strict";
import { StoreRefusesError } from "../../src/errors.ts";
import { FirstContact } from "../../src/guarding/first_contact.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

function setUp(answers: (Error | undefined)[]) {
  const clock = new FakeClock();
  const lines: string[] = [];
  let asked = 0;
  const latest = () => {
    const answer = answers[Math.min(asked++, answers.length - 1)];
    return answer === undefined ? Promise.resolve(undefined) : Promise.reject(answer);
  };
  const contact = new FirstContact({ latest }, clock, {
    error: (message) => lines.push(message),
  });
  return { clock, lines, contact, asked: () => asked };
}

Deno.test("a store that answers is asked once", async () => {
  const { clock, contact, asked, lines } = setUp([undefined]);
  contact.start();
  await clock.advance(10_000);
  assert.deepEqual([asked(), contact.refusal, lines, clock.timers], [1, undefined, [], 0]);
});

Deno.test("a refusal is told once, lasts, and ends with the first good answer", async () => {
  const refusal = new StoreRefusesError("42501", "permission denied for table user_data");
  const { clock, contact, asked, lines } = setUp([
    new Error("no connection"),
    refusal,
    refusal,
    refusal,
    undefined,
  ]);
  contact.start();
  await settle();
  assert.equal(contact.refusal, undefined);
  await clock.advance(3_000);
  assert.equal(contact.refusal, "permission denied for table user_data");
  assert.equal(lines.length, 1);
  await clock.advance(5_000);
  assert.deepEqual([contact.refusal, asked(), clock.timers], [undefined, 5, 0]);
});

Deno.test("a look-up that is refused is asked for until it is not", async () => {
  const refusal = new StoreRefusesError("42501", "permission denied for table user_data");
  const clock = new FakeClock();
  let refuses = false;
  const latest = () => refuses ? Promise.reject(refusal) : Promise.resolve(undefined);
  const contact = new FirstContact({ latest }, clock, { error: () => {} });
  contact.start();
  await settle();
  refuses = true;
  contact.start();
  await clock.advance(3_000);
  assert.match(contact.refusal!, /permission denied/);
  refuses = false;
  await clock.advance(1_000);
  assert.deepEqual([contact.refusal, clock.timers], [undefined, 0]);
});

Deno.test("nothing is asked after the stop", async () => {
  const { clock, contact, asked } = setUp([new Error("no connection")]);
  contact.start();
  await settle();
  contact.stop();
  await clock.advance(10_000);
  assert.deepEqual([asked(), clock.timers], [1, 0]);
});
