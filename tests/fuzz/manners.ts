/** What holds of every answer, whatever was asked. */
import assert from "node:assert/strict";
import { type Answer, shown } from "./wire.ts";

const INTERNALS =
  /\bat .{0,200}:\d+:\d+|\/src\/|\.ts\b|\bfile:|ext:|node_modules|Error:|SQLITE|Deno\.|dsproxy-fuzz/;
const decoder = new TextDecoder();

/** Every `type` that is part of the public contract, except the one that must never be seen. */
export async function documentedTypes(): Promise<ReadonlySet<string>> {
  const source = await Deno.readTextFile(new URL("../../src/errors.ts", import.meta.url));
  const types = [...source.matchAll(/^ {2}\| "([a-z-]+)"/gm)].map((match) => match[1]!);
  assert.ok(types.includes("invalid-record"), "src/errors.ts does not list the types as it did");
  return new Set(types.filter((type) => type !== "internal-error"));
}

export function assertManners(answer: Answer, types: ReadonlySet<string>): void {
  const { status, headers, body } = answer;
  if (status < 400) return;
  if (isBareRefusal(answer)) return;
  const text = decoder.decode(body);
  assert.equal(headers.get("content-type"), "application/problem+json", `${status} ${shown(body)}`);
  assert.ok(!INTERNALS.test(text), `an answer tells of internals: ${text}`);
  if (body.length === 0) return; // To HEAD.
  const document = JSON.parse(text) as Record<string, unknown>;
  assert.ok(types.has(String(document.type)), `not a documented type: ${text}`);
  assert.ok(status < 500 || (status === 503 && headers.has("retry-after")), text);
  assert.equal(document.status, status, text);
  for (const member of ["title", "detail"]) {
    assert.ok(String(document[member] ?? "").length > 0, text);
  }
}

/** What Deno's HTTP reader answers before our code sees a request. */
export function isBareRefusal({ status, headers, body }: Answer): boolean {
  return status === 400 && body.length === 0 && headers.get("content-type") === null &&
    headers.get("connection") === "close";
}
