/** Every surrounding, in the table's order. */
import { POSTGRES } from "./postgres.ts";
import type { Surrounding } from "./surrounding.ts";

export const SURROUNDINGS: readonly Surrounding[] = [...POSTGRES];
