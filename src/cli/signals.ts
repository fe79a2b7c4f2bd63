/**
 * Some signals ask the service to stop, in order. None ends it without that, but the second of
 * those.
 */
import { close as closeDebugger } from "node:inspector";
import type { Log } from "../telemetry/log.ts";

/** SIGQUIT is what some supervisors send for a stop in order; a dump of core would be of no use. */
const STOPPING: readonly Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGQUIT"];
const IGNORED: readonly (readonly [Deno.Signal, string])[] = [
  ["SIGHUP", "The configuration is read at the start only: restart the service to change it"],
  ["SIGUSR1", "The debugger that Deno opens on it is closed again"],
  ["SIGUSR2", "It has no meaning here"],
];
/**
 * Ctrl-C reaches the program from the terminal and again through a task runner: that is one signal,
 * not a second one.
 */
const SAME_SIGNAL_MS = 150;
const DEBUGGER_CLOSE_MS = [0, 10, 50, 200, 1_000];

/**
 * Listens from the call on. SIGPIPE needs no listener: Deno ignores it.
 * @param onSecond called when the stop is asked for once more
 * @returns resolves when the service is asked to stop
 */
export function listenToSignals(log: Pick<Log, "info">, onSecond: () => void): Promise<void> {
  for (const [signal, meaning] of IGNORED) {
    // Windows has none of them but SIGHUP, which there means that the console is closed.
    if (Deno.build.os === "windows") continue;
    Deno.addSignalListener(signal, () => {
      log.info(`${signal} is ignored. ${meaning}`, { event: "signal-ignored" });
      if (signal === "SIGUSR1") closeTheDebugger();
    });
  }
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    const onSignal = () => {
      firstMs ??= performance.now();
      if (performance.now() - firstMs > SAME_SIGNAL_MS) onSecond();
      resolve();
    };
    for (const signal of STOPPING) {
      if (signal !== "SIGQUIT" || Deno.build.os !== "windows") {
        Deno.addSignalListener(signal, onSignal);
      }
    }
  });
}

/**
 * Who reaches that port controls the process. It opens a moment after the signal, on a thread of
 * its own.
 */
function closeTheDebugger(): void {
  for (const delayMs of DEBUGGER_CLOSE_MS) setTimeout(() => closeDebugger(), delayMs);
}
