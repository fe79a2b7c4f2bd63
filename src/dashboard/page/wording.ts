/** Puts numbers and times into words; what nobody knows is a dash. */
import { bytes, count, counted, duration } from "../wording.ts";

export { bytes, count, counted, duration };

export const UNKNOWN = "–";

export function perSecond(rate: number | null): string {
  if (rate === null) return UNKNOWN;
  return rate > 0 && rate < 10 ? rate.toFixed(1) : count(rate);
}

export function milliseconds(ms: number | null): string {
  if (ms === null) return UNKNOWN;
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 100 ? Math.round(ms) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}

export function seconds(value: number | null): string {
  if (value === null) return UNKNOWN;
  return value < 10 ? `${value.toFixed(1)} s` : duration(value * 1000);
}

export function percent(ratio: number | null): string {
  return ratio === null
    ? UNKNOWN
    : `${(ratio * 100).toFixed(ratio > 0.995 && ratio < 1 ? 2 : 1)} %`;
}

/** As in `20:13:05`, by the clock of who looks. */
export function timeOfDay(ms: number): string {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}

/** As {@link timeOfDay}, with the day where it is another one. */
export function moment(ms: number): string {
  const isToday = new Date(ms).toDateString() === new Date().toDateString();
  return isToday ? timeOfDay(ms) : new Date(ms).toLocaleString([], { hour12: false });
}
