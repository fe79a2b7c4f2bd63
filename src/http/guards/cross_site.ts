/**
 * Web pages may call when they are of this origin, or of one that the operator names.
 */
import { AppError } from "../../errors.ts";
import { headerField } from "../header_field.ts";

/** It holds origins as browsers send them, such as `https://example.org`. */
export type OriginPolicy = ReadonlySet<string>;

/**
 * @throws AppError `cross-site-request` when a browser says that a foreign page is behind the
 * request
 */
export function requireSameSite(request: Request, allowed: OriginPolicy): void {
  const origin = headerField(request, "origin");
  if (origin !== null) {
    if (!allowed.has(origin) && !isSameOrigin(origin, request)) {
      throw refused(`Pages of the origin ${origin.slice(0, 128)} may not call this service.`);
    }
  } else if (headerField(request, "sec-fetch-site") === "cross-site") {
    throw refused("Pages of other sites may not call this service.");
  }
}

function refused(what: string): AppError {
  return new AppError(
    "cross-site-request",
    `${what} The operator can allow an origin in CORS_ORIGINS.`,
  );
}

function isSameOrigin(origin: string, request: Request): boolean {
  return origin.slice(origin.indexOf("//") + 2) === headerField(request, "host");
}

/**
 * Returns what an answer to an allowed foreign origin must carry, preflights included.
 * @param methods that the resource answers, as in the header Allow
 */
export function crossSiteHeaders(
  request: Request,
  allowed: OriginPolicy,
  methods: string,
): [string, string][] {
  if (allowed.size === 0) return [];
  const origin = headerField(request, "origin");
  if (origin === null || !allowed.has(origin)) return [["vary", "origin"]];
  const headers: [string, string][] = [
    ["vary", "origin"],
    ["access-control-allow-origin", origin],
    [
      "access-control-expose-headers",
      "dsproxy-write-id, dsproxy-ack, dsproxy-ts, dsproxy-source, etag, link, retry-after",
    ],
  ];
  if (request.method === "OPTIONS") {
    headers.push(["access-control-allow-methods", methods], [
      "access-control-allow-headers",
      "content-type, if-none-match, dsproxy-after",
    ]);
  }
  return headers;
}
