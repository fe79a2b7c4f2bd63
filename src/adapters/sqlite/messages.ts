/** The store and its worker thread say this to each other. */
import type { Interval } from "../../ports/group_store.ts";
import type { DueLetter, LetterPlace } from "../../ports/dead_letter_retries.ts";
import type { LetterFilter } from "../../ports/dead_letters.ts";
import type { EntryColumns } from "./columns.ts";

export type Request =
  | { readonly id: number; readonly call: "start"; readonly path: string }
  | { readonly id: number; readonly call: "ping" | "stop" }
  | { readonly id: number; readonly call: "open"; readonly source: string }
  | {
    readonly id: number;
    readonly call: "put";
    readonly source: string;
    readonly entries: EntryColumns;
    readonly confirmedSeq: number;
    readonly lostThroughSeq: number | undefined;
  }
  | { readonly id: number; readonly call: "marks"; readonly sources: readonly string[] }
  | { readonly id: number; readonly call: "identify" | "outdateCopies" | "count" | "reasons" }
  | {
    readonly id: number;
    readonly call: "list";
    readonly limit: number;
    readonly after: LetterPlace | undefined;
    readonly filter: LetterFilter | undefined;
  }
  | {
    readonly id: number;
    readonly call: "surveyLetters";
    readonly filter: LetterFilter;
    readonly reasonsMax: number;
  }
  | {
    readonly id: number;
    readonly call: "replaySome" | "discardSome";
    readonly filter: LetterFilter;
    readonly limit: number;
    readonly from: LetterPlace | undefined;
  }
  | { readonly id: number; readonly call: "find" | "replay" | "discard"; readonly writeId: string }
  | {
    readonly id: number;
    readonly call: "due";
    readonly agesMs: readonly number[];
    readonly limit: number;
    readonly from: LetterPlace | undefined;
  }
  | { readonly id: number; readonly call: "retry"; readonly letter: DueLetter }
  | {
    readonly id: number;
    readonly call: "retire";
    readonly olderThanTs: number;
    readonly limit: number;
    readonly from: string | undefined;
  }
  | { readonly id: number; readonly call: "survey" }
  | {
    readonly id: number;
    readonly call: "check";
    readonly source: string;
    readonly first: number;
    readonly last: number;
  }
  | {
    readonly id: number;
    readonly call: "strays";
    readonly source: string;
    readonly limit: number;
  }
  | {
    readonly id: number;
    readonly call: "accept";
    readonly source: string;
    readonly gap: Interval;
    readonly reason: string;
  }
  | { readonly id: number; readonly call: "latest"; readonly userId: string };

export type Reply = { readonly id: number; readonly result: unknown } | Failure;

export interface Failure extends FailureKind {
  readonly id: number;
  readonly error: string;
}

export interface FailureKind {
  /**
   * It is a refusal of one row, or of all of them; a mark below what was confirmed; any other word
   * of SQLite; or an error of this program's own.
   */
  readonly kind: "rejected" | "refuses" | "went back" | "may pass" | "defect";
  /** It is SQLite's result code, and empty where it did not speak. */
  readonly code: string;
}
