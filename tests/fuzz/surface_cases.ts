/** Whole requests with methods, targets and headers that nobody would send on purpose. */
import { head, type HostileCase } from "./hostile_case.ts";
import type { Seeded } from "./seeded.ts";
import { joined } from "./wire.ts";

const PATHS = [
  "/write",
  "/writes/",
  "/read",
  "/metrics",
  "/livez",
  "/healthz",
  "/readyz",
  "/admin/dead-letters",
  "/admin/dead-letters/count",
  "/admin/dead-letters/discard",
  "/admin/flush",
  "/",
  "//",
  "*",
];
const METHODS = [
  "GET",
  "GET",
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "get",
  "PROPFIND",
  "G3T",
  "!#$%&'*+-.^_`|~",
  "X".repeat(3000),
];
const SEGMENTS = [
  "..",
  ".",
  "%2e%2e",
  "%2f",
  "%00",
  "%",
  "%zz",
  "%ff",
  "a",
  "write",
  "replay",
  ";x=1",
  "aaaaaaaaaaaa-1",
  "aaaaaaaaaaaa-9999999999999999",
  "x".repeat(5000),
];
const QUERY_PARTS = [
  "user_id",
  "=",
  "&",
  "limit",
  "after",
  "all=true",
  "expect",
  "until",
  "ack",
  "verbose",
  "%00",
  "%ff",
  "%",
  "%zz",
  "%F0%9F%98%80",
  "%ED%A0%80",
  "+",
  "1.x",
  "0",
  "-1",
  "1e9",
  "9999999999999999.a",
  "'",
  "?",
  "/",
  "a b".replace(" ", "%20"),
  "__proto__",
  "y".repeat(600),
];
const HEADERS: readonly ((random: Seeded) => string)[] = [
  (random) =>
    `Accept: ${
      random.pick([
        "application/json",
        "application/json;q=0",
        "text/plain;q=x,application/json;q=9",
        ",,;;",
        "*/*",
      ])
    }`,
  () => "Accept: application/openmetrics-text",
  (random) => `If-None-Match: ${random.pick(["*", '"a"', 'W/"a",', ",,,", '"'])}`,
  (random) =>
    `Origin: ${
      random.pick(["null", "https://evil.example", "http://dsproxy", "", "//", "x".repeat(3000)])
    }`,
  (random) => `Sec-Fetch-Site: ${random.pick(["cross-site", "same-origin", "x"])}`,
  () => "Range: bytes=0-1,5-4,-9",
  () => "Accept-Encoding: gzip, br, \u00ff",
  () => "X-Forwarded-For: 127.0.0.1, ::1",
  () => "Connection: keep-alive, close, te",
  () => "Connection: upgrade",
  () => "Upgrade: websocket",
  () => "Expect: 200-ok",
  () => "TE: trailers",
  (random) =>
    `${random.text(20, [..."abcXYZ-_!~"])}: ${random.text(100, [..." \tabc;=,\"'\u00e9\u00ff"])}`,
];

export function surfaceCase(random: Seeded, label: string): HostileCase {
  const method = random.pick(METHODS);
  const target = randomTarget(random);
  const headers = Array.from({ length: random.between(0, 6) }, () => random.pick(HEADERS)(random));
  const body = random.chance(0.2) ? random.bytes(random.between(1, 300)) : new Uint8Array();
  if (body.length > 0) headers.push(`Content-Length: ${body.length}`);
  return {
    name: `${label}: ${method.slice(0, 20)} ${target.slice(0, 100)}`,
    parts: [joined(head({ method, target, headers }), body)],
    requests: [{ ...(method === "HEAD" && { bodiless: true }) }],
  };
}

function randomTarget(random: Seeded): string {
  const more = Array.from({ length: random.between(0, 3) }, () => random.pick(SEGMENTS));
  const path = random.chance(0.5) ? random.pick(PATHS) : `${random.pick(PATHS)}/${more.join("/")}`;
  if (random.chance(0.4)) return path;
  if (random.chance(0.3)) return `/read?user_id=${random.text(random.between(1, 5), QUERY_PARTS)}`;
  return `${path}?${random.text(random.between(0, 8), QUERY_PARTS)}`;
}
