/**
 * Writes structured log lines on standard error: one JSON object a line, or a readable line on a
 * terminal.
 */
import { reasonOf } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";

type LogLevel = "debug" | "info" | "warn" | "error";
type LogFormat = "json" | "pretty";
export type LogFields = Readonly<Record<string, unknown>>;

const SEVERITY: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export class Log {
  constructor(
    private readonly level: LogLevel,
    private readonly format: LogFormat,
    private readonly write: (line: string) => void = writeToStderr,
  ) {}

  debug(message: string, fields?: LogFields): void {
    this.#emit("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#emit("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#emit("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#emit("error", message, fields);
  }

  #emit(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (SEVERITY[level] < SEVERITY[this.level]) return;
    const time = new Date().toISOString();
    if (this.format === "json") {
      this.write(JSON.stringify({ time, level, message, ...fields }, errorsAsText));
    } else {
      const details = Object.entries(fields).map(([name, value]) =>
        `${name}=${JSON.stringify(value, errorsAsText)}`
      );
      this.write(
        [time.slice(11, 23), level.toUpperCase().padEnd(5), message, ...details].join(" "),
      );
    }
  }
}

function errorsAsText(_name: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const [reason, cause] = [reasonOf(value), value.cause === undefined ? "" : reasonOf(value.cause)];
  return reason.includes(cause) ? reason : `${reason}: ${cause}`;
}

const encoder = new TextEncoder();

function writeToStderr(line: string): void {
  try {
    Deno.stderr.writeSync(encoder.encode(line + "\n"));
  } catch {
    // Nobody is left to tell: a closed or full standard error must not end a service that holds
    // data.
  }
}

/** An outage is seen with so many lines, and nothing else is buried under them. */
export const FAULT_LOG_INTERVAL_MS = 10_000;

/**
 * Lets at most one message through every `intervalMs`, and says how many were held back, for faults
 * that repeat a lot.
 */
export function limitRate(
  clock: Pick<Clock, "monotonicMs">,
  intervalMs: number,
  emit: (suppressed: number, error: unknown) => void,
): (error: unknown) => void {
  let nextMs = -Infinity;
  let suppressed = 0;
  return (error) => {
    const nowMs = clock.monotonicMs();
    if (nowMs < nextMs) {
      suppressed++;
      return;
    }
    nextMs = nowMs + intervalMs;
    emit(suppressed, error);
    suppressed = 0;
  };
}
