/**
 * The floor: a bare `Deno.serve` that parses the same requests and answers them with the same
 * status, headers and bytes, and has nothing behind. Nothing that runs in this runtime does more;
 * tests/bench/same_answer_test.ts compares its answers with the service's.
 */
import { listen } from "./listen.ts";

const RUN = "floorfloorfl";
const TEXT = "text/plain; charset=utf-8";
let writes = 0;

async function write(request: Request): Promise<Response> {
  const { user_id, value } = await request.json() as { user_id?: unknown; value?: unknown };
  if (typeof user_id !== "string" || typeof value !== "string") {
    return new Response("no record", { status: 400 });
  }
  const headers = { "content-type": TEXT, "dsproxy-write-id": `${RUN}-${++writes}` };
  return new Response("accepted", { status: 202, headers });
}

function read(url: string): Response {
  const user = decodeURIComponent(url.slice(url.indexOf("user_id=") + "user_id=".length));
  return new Response(`value of ${user}`, {
    headers: {
      "content-type": TEXT,
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
      "vary": "accept",
      "etag": `"${RUN}-${user.length}"`,
      "dsproxy-ts": "1700000000",
      "dsproxy-source": "local",
    },
  });
}

if (import.meta.main) listen(write, read);
