/**
 * Writes structured log lines on standard error: one JSON object a line, or a readable line on a
 * terminal.
 */
import type { LogEvent } from "./log_events.ts";
import { safeReasonOf } from "./safe_reason.ts";
import type { Clock } from "../ports/clock.ts";

type LogLevel = "debug" | "info" | "warn" | "error";
type LogFormat = "json" | "pretty";
export type LogFields = Readonly<Record<string, unknown>> & { readonly event?: LogEvent };

/** They name the span, as W3C does, that a line belongs to. */
export interface TraceIds {
  readonly traceId: string;
  readonly spanId: string;
}

/** Returns the fields of a line that is told of one span; none where there is no span. */
export function traceFields(trace: TraceIds | undefined): LogFields {
  return trace === undefined ? {} : { trace_id: trace.traceId, span_id: trace.spanId };
}

const SEVERITY: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export class Log {
  constructor(
    private readonly level: LogLevel,
    private readonly format: LogFormat,
    private readonly write: (line: string) => void = writeToStderr,
    private readonly common: LogFields = {},
  ) {}

  /**
   * Returns the log for what belongs to a request or a flush that is traced: its lines carry
   * `trace_id` and `span_id`. Of what is not traced it is this log.
   */
  of(trace: TraceIds | undefined): Log {
    if (trace === undefined) return this;
    return new Log(this.level, this.format, this.write, {
      ...this.common,
      ...traceFields(trace),
    });
  }

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

  #emit(level: LogLevel, message: string, { event, ...fields }: LogFields = {}): void {
    if (SEVERITY[level] < SEVERITY[this.level]) return;
    const time = new Date().toISOString();
    const named = { ...(event !== undefined && { event }), ...fields, ...this.common };
    if (this.format === "json") {
      this.write(JSON.stringify({ time, level, message, ...named }, errorsAsText));
    } else {
      const details = Object.entries(named).map(([name, value]) =>
        `${name}=${JSON.stringify(value, errorsAsText)}`
      );
      this.write(
        [time.slice(11, 23), level.toUpperCase().padEnd(5), message, ...details].join(" "),
      );
    }
  }
}

function errorsAsText(_name: string, value: unknown): unknown {
  return value instanceof Error ? safeReasonOf(value) : value;
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

/** A fault that goes on is told after so long again, … */
export const FAULT_LOG_INTERVAL_MS = 10_000;
/** … and twice as long each time, up to this: nothing else is buried under it. */
const LONGEST_INTERVALS = 30;

/**
 * Lets at most one message through every `intervalMs`, and says how many like it were held back,
 * for faults that repeat a lot. The interval doubles for as long as they go on.
 */
export function limitRate(
  clock: Pick<Clock, "monotonicMs">,
  intervalMs: number,
  emit: (heldBack: number, error: unknown) => void,
): (error: unknown) => void {
  let [nextMs, lastMs, currentMs] = [-Infinity, -Infinity, intervalMs];
  let heldBack = 0;
  return (error) => {
    const nowMs = clock.monotonicMs();
    const isQuiet = nowMs - lastMs >= intervalMs;
    lastMs = nowMs;
    if (isQuiet) [nextMs, currentMs] = [Math.min(nextMs, nowMs), intervalMs];
    if (nowMs < nextMs) {
      heldBack++;
      return;
    }
    nextMs = nowMs + currentMs;
    currentMs = Math.min(2 * currentMs, LONGEST_INTERVALS * intervalMs);
    emit(heldBack, error);
    heldBack = 0;
  };
}
