/**
 * Sessions come from here: from the pool, or in a test from one plain connection. It is fit for
 * PgBouncer in transaction mode.
 */
import type { Session } from "./session.ts";

export interface Connections {
  /**
   * Runs statements on one connection, every one a transaction of its own. After `limitMs` what
   * runs is cancelled, and the call rejects.
   */
  run<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
  /**
   * Runs one transaction: it is committed when `work` is done, and rolled back when it throws, and
   * then the call rejects with the same error.
   */
  transaction<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
}
