/** The groups of benchmarks, in the order in which they run and are shown. */
export const GROUP_NAMES = [
  "writes",
  "reads",
  "drain",
  "latency",
  "growth",
  "memory",
  "start",
] as const;

export type GroupName = (typeof GROUP_NAMES)[number];
