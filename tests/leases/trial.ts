/** What the trials of leases are written in. */
import type { Random } from "../support/random.ts";
import type { Electorate } from "./electorate.ts";

export type Keeper = "Redis" | "PostgreSQL";

/** An instance of a trial is told these as its argument. */
export interface InstanceSettings {
  readonly name: string;
  readonly databaseUrl: string;
  /** Where Redis keeps the lease. */
  readonly redisUrl?: string;
  readonly lifeMs: number;
  /** A mistake on purpose: the term is not compared. */
  readonly acceptsStaleTerms?: boolean;
}

/** An instance tells these, one a line. */
export interface Told {
  readonly kind: "refused";
  readonly term: number;
}

export interface Trial {
  readonly what: string;
  /** In the words of the report. */
  readonly how: string;
  readonly keepers: readonly Keeper[];
  /** How often it is done for the report, and by the test: one with 0 is in the report alone. */
  readonly times: { readonly many: number; readonly few: number };
  /**
   * Does it once, and undoes it; when it returns, somebody can lead.
   * @returns for how long nobody could lead, in milliseconds; default 0
   */
  once(electorate: Electorate, random: Random): Promise<number | void>;
}

export interface Verdict {
  readonly times: number;
  readonly terms: number;
  readonly commits: number;
  /** So many commits were refused by the term. */
  readonly refused: number;
  /** Of each commit that came after one of a later term, which. */
  readonly tooLate: readonly string[];
  /** The longest time between two commits while somebody could lead. */
  readonly longestMs: number;
}
