/** Words that all of the doctor's remarks share. */

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const;

/** Returns a size for people. */
export function inBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1).replace(/\.0$/, "")} ${UNITS[unit]}`;
}
