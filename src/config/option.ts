/** An option is a line of the tables; this is what each says of itself. */
import type { Parser } from "./parsers.ts";

export interface Option {
  readonly parse: Parser<unknown>;
  /** It is written as a user would write it; undefined for none. */
  readonly default?: string;
  readonly help: string;
  /** It is never shown as it is, and may also come from the file that `NAME_FILE` names. */
  readonly secret?: true;
  /** It makes a secret fit to be shown; without it all of the secret is masked. */
  readonly mask?: (value: string) => string;
  /** `NAME=` means the empty text; elsewhere it means "not set". */
  readonly mayBeEmpty?: true;
}
