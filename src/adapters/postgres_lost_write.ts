/**
 * The driver (postgres 3.4.9, github.com/porsager/postgres/issues/1208) can write to a connection that has just closed: a TypeError
 * out of a timer, which nobody can catch and which would end the process. Told of it here, the store gives up the pool it came from.
 */

const listeners = new Set<() => void>();

/** @returns what ends the subscription */
export function onLostWrite(listener: () => void): () => void {
  if (listeners.size === 0) {
    globalThis.addEventListener("error", surviveError);
    globalThis.addEventListener("unhandledrejection", surviveRejection);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    globalThis.removeEventListener("error", surviveError);
    globalThis.removeEventListener("unhandledrejection", surviveRejection);
  };
}

function surviveError(event: ErrorEvent): void {
  survive(event, event.error);
}

function surviveRejection(event: PromiseRejectionEvent): void {
  survive(event, event.reason);
}

function survive(event: Event, error: unknown): void {
  if (!isLostWrite(error)) return;
  event.preventDefault();
  for (const listener of [...listeners]) listener();
}

/** By the function it comes from, as all else it has is what any TypeError has. */
function isLostWrite(error: unknown): boolean {
  return error instanceof TypeError && /\bnextWrite\b/.test(error.stack ?? "");
}
