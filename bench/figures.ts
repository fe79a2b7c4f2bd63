/** What a group found, as it is kept in `bench/results/`, drawn, and shown in the documentation. */

/** What the project promises of a figure. */
export interface Target {
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Figure {
  readonly name: string;
  /** `×` for a ratio, `MiB`, `ms` or `s`. */
  readonly unit: string;
  /** What it is compared with. */
  readonly of?: string;
  /** One value a round. */
  readonly rounds: readonly number[];
  readonly target?: Target;
  /** Where it stands in a chart of lines; a figure without is a bar. */
  readonly plot?: { readonly chart: string; readonly line: string; readonly at: string };
}

/** What a side did in a case, before anything is compared: requests a second, for example. */
export interface RawRounds {
  readonly side: string;
  readonly of: string;
  readonly unit: string;
  readonly rounds: readonly number[];
}

export interface Findings {
  readonly figures: readonly Figure[];
  readonly raw: readonly RawRounds[];
}

export interface Result extends Findings {
  readonly group: string;
  readonly date: string;
  readonly commit: string;
  readonly cores: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly tookSeconds: number;
  readonly arguments: readonly string[];
}
