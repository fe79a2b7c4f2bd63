/** Serves the dashboard's page, which is embedded in the program, and leads browsers to it. */
import Negotiator from "negotiator";
import { BUNDLED_PAGE } from "../../dashboard/bundled_page.ts";
import { AppError } from "../../errors.ts";
import type { Handler } from "../handler.ts";
import { headerField } from "../header_field.ts";

export interface PageHandlers {
  readonly root: Handler;
  readonly page: Handler;
  readonly pageFile: Handler;
}

/** Nothing but the page's own files, from here; nothing in a frame, and nothing out of a form. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  // Another version of the program has another page under the same names.
  "cache-control": "no-store",
};

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

const ENCODER = new TextEncoder();
const PAGE = "page.html";
const FILES = new Map(
  Object.entries(BUNDLED_PAGE).map(([name, text]) => [
    name,
    { bytes: ENCODER.encode(text), type: TYPES[name.slice(name.lastIndexOf(".") + 1)]! },
  ]),
);

/** @param isOn false with DASHBOARD=off: then there is nothing at its paths */
export function pageHandlers(isOn: boolean): PageHandlers {
  return {
    root: ({ request }) => {
      if (!isOn || !wantsPage(request)) throw nothingAt("/");
      return new Response(null, { status: 303, headers: { location: "dashboard" } });
    },
    page: () => {
      if (!isOn) throw new AppError("no-such-path", "The dashboard is off here (DASHBOARD=off).");
      return fileOf(PAGE);
    },
    pageFile: ({ pathParameter: name }) => {
      if (!isOn || name === PAGE || !FILES.has(name)) throw nothingAt(`/dashboard/${name}`);
      return fileOf(name);
    },
  };
}

function fileOf(name: string): Response {
  const { bytes, type } = FILES.get(name)!;
  return new Response(bytes, { headers: { ...HEADERS, "content-type": type } });
}

function nothingAt(path: string): AppError {
  return new AppError("no-such-path", `There is nothing at ${path.slice(0, 128)}.`);
}

/** A browser names HTML; a program that takes anything is not led to a page for people. */
function wantsPage(request: Request): boolean {
  const accept = headerField(request, "accept");
  return accept !== null &&
    new Negotiator({ headers: { accept } }).mediaTypes().includes("text/html");
}
