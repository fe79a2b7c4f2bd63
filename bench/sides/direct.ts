/**
 * The direct way: an INSERT a write and a SELECT a read, by the service's driver, with as many
 * connections and prepared statements, into the table and index that the service makes. Answers
 * like the service, once the row is committed.
 */
import pg from "pg";
import { listen } from "./listen.ts";

const CONNECTIONS = 8;
const RUN = "directdirect";
const TEXT = "text/plain; charset=utf-8";
const INSERT = "insert into user_data (user_id, value, ts) values ($1, $2, $3)";
const SELECT = "select value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq " +
  "from user_data where user_id = $1 order by ts desc nulls last, dsproxy_accepted_ms desc, " +
  "dsproxy_instance desc, dsproxy_seq desc limit 1";

const pool = new pg.Pool({ connectionString: Deno.env.get("DIRECT_URL"), max: CONNECTIONS });
let writes = 0;

async function write(request: Request): Promise<Response> {
  const { user_id, value } = await request.json() as { user_id?: unknown; value?: unknown };
  if (typeof user_id !== "string" || typeof value !== "string") {
    return new Response("no record", { status: 400 });
  }
  const ts = Math.floor(Date.now() / 1000);
  await pool.query({ name: "insert", text: INSERT, values: [user_id, value, ts] });
  const headers = { "content-type": TEXT, "dsproxy-write-id": `${RUN}-${++writes}` };
  return new Response("accepted", { status: 202, headers });
}

async function read(url: string): Promise<Response> {
  const userId = decodeURIComponent(url.slice(url.indexOf("user_id=") + "user_id=".length));
  const { rows: [row] } = await pool.query<{ value: string; ts: string; dsproxy_seq: string }>({
    name: "select",
    text: SELECT,
    values: [userId],
  });
  if (row === undefined) return new Response("no such user", { status: 404 });
  return new Response(row.value, {
    headers: {
      "content-type": TEXT,
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
      "vary": "accept",
      "etag": `"${RUN}-${row.dsproxy_seq}"`,
      "dsproxy-ts": row.ts,
      "dsproxy-source": "store",
    },
  });
}

if (import.meta.main) listen(write, read);
