/** Finds out which form of a value the client wants, and whether it has that one already. */
import Negotiator from "negotiator";

type Form = "text" | "json";

/** The charset is part of each offer, as a client may ask for it with that or without. */
const OFFERS: Readonly<Record<string, Form>> = {
  "text/plain; charset=utf-8": "text",
  "application/json; charset=utf-8": "json",
};

/** Clients of one kind send the same header with each request: it is read once. */
const REMEMBERED_MAX = 100;
const REMEMBERED_LENGTH_MAX = 512;
const remembered = new Map<string, Form>();

/**
 * Text is what the original answers, so also to who accepts neither form; JSON is for those who
 * prefer it.
 */
export function preferredForm(accept: string | null): Form {
  if (accept === null || accept === "*/*") return "text";
  const known = remembered.get(accept);
  if (known !== undefined) return known;
  const preferred = new Negotiator({ headers: { accept } }).mediaType(Object.keys(OFFERS));
  const form = OFFERS[preferred ?? ""] ?? "text";
  if (accept.length <= REMEMBERED_LENGTH_MAX) {
    if (remembered.size >= REMEMBERED_MAX) remembered.clear();
    remembered.set(accept, form);
  }
  return form;
}

/**
 * Says whether `If-None-Match` names this entity tag. Tags of ours have no comma, so that a comma
 * within another one's quotes cannot make it look like ours.
 */
export function namesTag(ifNoneMatch: string | null, tag: string): boolean {
  if (ifNoneMatch === null) return false;
  return ifNoneMatch === "*" ||
    ifNoneMatch.split(",").some((each) => each.trim().replace(/^W\//, "") === tag);
}
