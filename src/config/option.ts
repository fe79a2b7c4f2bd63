/** An option is a line of the tables; this is what each says of itself. */
import type { Parser } from "./parsers.ts";

export interface Option {
  readonly parse: Parser<unknown>;
  /** It is written as a user would write it; undefined for none. */
  readonly default?: string;
  readonly help: string;
  /** It is never shown as it is, and may also come from the file that `NAME_FILE` names. */
  readonly secret?: true;
  /**
   * It makes the value fit to be shown, also one that is no secret and may hold one by mistake;
   * without it all of a secret is masked.
   */
  readonly mask?: (value: string) => string;
  /** `NAME=` means the empty text; elsewhere it means "not set". */
  readonly mayBeEmpty?: true;
}
