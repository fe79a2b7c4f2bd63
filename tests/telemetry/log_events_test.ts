import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LOG_EVENTS } from "../../src/telemetry/log_events.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function sources(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = join(folder, name);
    if (isDirectory) return sources(path);
    return name === "log_events.ts" ? [] : [Deno.readTextFileSync(path)];
  });
}

Deno.test("each event is on a line of the program, and in the handbook with its meaning", () => {
  const program = sources(join(ROOT, "src")).join("\n");
  const handbook = Deno.readTextFileSync(join(ROOT, "docs/operations.md"));
  for (const [event, meaning] of Object.entries(LOG_EVENTS)) {
    assert.ok(program.includes(`"${event}"`), `no line tells ${event}`);
    assert.ok(handbook.includes(`| \`${event}\` | ${meaning} |`), `operations.md: ${event}`);
  }
  const rows = handbook.split("| `event` |")[1]!.split("\n\n")[0]!.match(/^\| `/gm) ?? [];
  assert.equal(rows.length, Object.keys(LOG_EVENTS).length);
});

/** A call up to its closing bracket; strings of messages have balanced ones. */
function callsOf(text: string): string[] {
  return [...text.matchAll(/\b#?log\.(info|warn|error)\(/g)].map(({ index }) => {
    let depth = 0;
    let end = text.indexOf("(", index);
    do {
      if (text[end] === "(") depth++;
      else if (text[end] === ")") depth--;
      end++;
    } while (depth > 0 && end < text.length);
    return text.slice(index, end);
  });
}

Deno.test("each line above debug says which event it tells", () => {
  const calls = sources(join(ROOT, "src")).flatMap(callsOf);
  assert.ok(calls.length > 40, String(calls.length));
  for (const call of calls) {
    // Fields in a constant of their own are checked by its type, and by the first test.
    const hasEvent = /\bevent\b|\b(told|fields|what|INCOMPLETE)\b/.test(call);
    assert.ok(hasEvent, `name an event of src/telemetry/log_events.ts in: ${call}`);
  }
});
