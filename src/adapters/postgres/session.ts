/**
 * The statements of this folder are written against this: one connection, or one transaction on it.
 */

export interface Session {
  /**
   * Runs `text` with `$1`, `$2` …; bigint columns come back as text.
   * @throws the driver's DatabaseError with its SQLSTATE in `code`
   */
  query<Row>(text: string, parameters?: readonly unknown[]): Promise<Result<Row>>;
}

export interface Result<Row> {
  readonly rows: readonly Row[];
  /** So many rows were returned, inserted, updated or deleted. */
  readonly rowCount: number | null;
}
