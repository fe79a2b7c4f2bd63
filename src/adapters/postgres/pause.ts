/**
 * Waits a random time between half of `aboutMs` and all of it, so that instances that met once do
 * not meet again.
 */
export function pause(aboutMs: number, signal?: AbortSignal): Promise<void> {
  const delayMs = aboutMs / 2 + Math.random() * aboutMs / 2;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
