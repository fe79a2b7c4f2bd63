/** What the suites of Store, StoreIdentity and DeadLetters need of the thing they are run over. */
import assert from "node:assert/strict";
import { StoreUnavailableError } from "../../src/errors.ts";
import type { StorePorts } from "../../src/ports/store.ts";

/** A row as another program sees it. */
export interface Row {
  readonly user_id: string | null;
  readonly value: string | null;
  readonly ts: number | null;
}

/** A dead letter, as another program sees it. */
export interface Buried {
  readonly seq: number;
  readonly value: string;
  readonly code: string;
}

/** What a table can have against rows. */
export type Refusal =
  | "every row"
  | "a second row of a user"
  | "the value bad"
  | "the value bad, without a word";

/** A store with nothing in it, and what other programs and people do to its tables. */
export interface Tables extends AsyncDisposable {
  /** What its clock shows, Unix milliseconds. */
  nowMs(): number;
  /** Every row there is, in no order. */
  rows(): Promise<readonly Row[]>;
  /** The dead letters, in the order of their numbers. */
  buried(): Promise<readonly Buried[]>;
  insert(rows: readonly Row[]): Promise<void>;
  /** Sets all marks, or removes them. */
  setMarks(seq: number | undefined): Promise<void>;
  /** Makes the table refuse these from now on; a refusal of `bad` says `no bad values`. */
  refuse(what: Refusal): Promise<() => Promise<void>>;
}

export type StoreUnderTest = StorePorts & Tables;
/** Where there is but one port to be tested. */
export type OneStoreUnderTest = Pick<StorePorts, "store"> & Tables;

export const SOURCE = "instance0001/run1";

/** @param calls one of each method, so that none is forgotten */
export async function assertClosed<Method extends string>(
  calls: Readonly<Record<Method, () => Promise<unknown>>>,
): Promise<void> {
  for (const [method, call] of Object.entries<() => Promise<unknown>>(calls)) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof StoreUnavailableError, `${method}: ${error}`);
      assert.match(error.message, /closed/, method);
      return true;
    });
  }
}
