/** Puts numbers and times into words for people. */

/** As in `3,402`. */
export function count(many: number): string {
  return Math.round(many).toLocaleString("en-US");
}

/** As in `1 write`, `3,402 writes`. */
export function counted(many: number, what: string): string {
  return `${count(many)} ${what}${Math.round(many) === 1 ? "" : "s"}`;
}

/** Names the largest unit that fits, and the next one where it tells something. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

const UNITS = ["bytes", "KiB", "MiB", "GiB"] as const;

/** As in `1.5 GiB`. */
export function bytes(many: number): string {
  let [value, unit] = [many, 0];
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
