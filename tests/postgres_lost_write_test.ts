import assert from "node:assert/strict";
import { onLostWrite } from "../src/adapters/postgres_lost_write.ts";

/** Throws as the driver does, out of a function of this name. */
function nextWrite(): never {
  return (null as unknown as { write(): never }).write();
}

function thrownBy(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

function dispatchError(error: unknown): boolean {
  return globalThis.dispatchEvent(new ErrorEvent("error", { error, cancelable: true }));
}

Deno.test("a write to a closed connection, thrown out of the driver's timer, does not end the process", () => {
  let told = 0;
  const stop = onLostWrite(() => told++);
  assert.equal(dispatchError(thrownBy(nextWrite)), false, "prevented");
  const rejection = new PromiseRejectionEvent("unhandledrejection", {
    promise: Promise.resolve(),
    reason: thrownBy(nextWrite),
    cancelable: true,
  });
  assert.equal(globalThis.dispatchEvent(rejection), false, "prevented");
  assert.equal(told, 2);
  stop();
  assert.equal(dispatchError(thrownBy(nextWrite)), true, "nobody watches any more");
});

Deno.test("any other error ends the process as ever", () => {
  let told = 0;
  const stop = onLostWrite(() => told++);
  assert.equal(dispatchError(new Error("nextWrite")), true);
  assert.equal(dispatchError(thrownBy(() => (null as unknown as { write(): void }).write())), true);
  assert.equal(told, 0);
  stop();
});
