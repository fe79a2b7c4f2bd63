/**
 * Where sessions come from: the pool, or in a test one plain connection. Fit for PgBouncer in
 * transaction mode.
 */
import type { Session } from "./session.ts";

export interface Connections {
  /**
   * One connection, every statement a transaction of its own. After `limitMs` what runs is
   * cancelled, and the call rejects.
   */
  run<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
  /**
   * One transaction: committed when `work` is done, rolled back when it throws, and then it rejects
   * with the same error.
   */
  transaction<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
}
