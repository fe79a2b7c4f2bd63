/** Has the flags that say which dead letters a command is about, and what the admin routes call it. */

export const FILTER_FLAGS = ["user", "code", "from", "until"] as const;

/** The values are checked by the instance, which knows what they have to be. */
export type FilterFlags = Readonly<Partial<Record<(typeof FILTER_FLAGS)[number], string>>>;

const PARAMETERS = { user: "user_id", code: "code", from: "from", until: "until" } as const;

export function isFiltered(flags: FilterFlags): boolean {
  return FILTER_FLAGS.some((flag) => flags[flag] !== undefined);
}

/** Returns a query with all of these that are there; it is empty, or begins with `?`. */
export function queryOf(
  flags: FilterFlags,
  more: Readonly<Record<string, string | number | undefined>> = {},
): string {
  const filter = FILTER_FLAGS.map((flag) => [PARAMETERS[flag], flags[flag]] as const);
  const parts = [...filter, ...Object.entries(more)].flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]
  );
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}
