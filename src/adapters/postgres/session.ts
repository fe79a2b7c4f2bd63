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

/** One transaction; it ends when who was given it is done. */
export interface Transaction extends Session {
  /**
   * Runs a `copy … from stdin` with lines in the text format; returns the number of rows that went
   * in. @throws as {@link Session.query}; whatever `rows` throws
   */
  copy(text: string, rows: Iterable<string>): Promise<number>;
  /**
   * Adds a statement without parameters, whose answer nobody needs: it is sent in one message with
   * the commit.
   */
  atEnd(text: string): void;
}
