/**
 * Keeps the lease in the one row of `dsproxy_lease`, by the server's clock. Each statement stands
 * for itself, as a pooler may send each to another connection.
 */
import { StoreRefusesError } from "../../errors.ts";
import type { Lease, LeaseHolder } from "../../ports/lease.ts";
import type { Database } from "./database.ts";
import type { Session } from "./session.ts";

interface Row {
  readonly holder: string;
  readonly since_ms: string;
}

const FOUND = "holder, floor(extract(epoch from since) * 1000)::bigint as since_ms";
/**
 * A lease that was renewed later than now is of a clock that was set back since: it would last for
 * as long as the clock was set back.
 */
const IS_OVER = "(renewed_at > clock_timestamp() or renewed_at + life <= clock_timestamp())";

export class PostgresLease implements Lease {
  constructor(private readonly database: Pick<Database, "run">) {}

  hold(holder: string, lifeMs: number): Promise<LeaseHolder> {
    return this.database.run(async (session) => {
      const { holder: found, since_ms: sinceMs } = await take(session, holder, lifeMs) ??
        await look(session);
      return { holder: found, sinceMs: Number(sinceMs) };
    });
  }

  async release(holder: string): Promise<void> {
    await this.database.run((session) =>
      session.query("update dsproxy_lease set holder = '', life = '0' where holder = $1", [holder])
    );
  }

  /** Its connections are the store's. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Whoever waits for another's statement looks at the row again once that has ended. */
async function take(session: Session, holder: string, lifeMs: number): Promise<Row | undefined> {
  const { rows: [row] } = await session.query<Row>(
    `update dsproxy_lease set holder = $1, renewed_at = clock_timestamp(),
       life = $2::float8 * interval '1 millisecond',
       since = case when holder = $1 and not ${IS_OVER} then since else clock_timestamp() end
     where holder = $1 or ${IS_OVER} returning ${FOUND}`,
    [holder, lifeMs],
  );
  return row;
}

async function look(session: Session): Promise<Row> {
  const { rows: [row] } = await session.query<Row>(`select ${FOUND} from dsproxy_lease`);
  if (row !== undefined) return row;
  throw new StoreRefusesError(
    "02000",
    "dsproxy_lease has no row: was it emptied? Drop that table, and it is made anew",
  );
}
