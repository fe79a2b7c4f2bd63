/**
 * A term is one leader's time in office, numbered by the store: the fencing token of what only a
 * leader may do. A lease says who should lead, and clocks can be wrong about it; a term says whose
 * transactions still count.
 */
export interface Term {
  readonly number: number;
  /**
   * It is the run that leads. A store that went back gives numbers again, so that a number alone
   * could be that of two leaders.
   */
  readonly leader: string;
}

export interface Terms {
  /**
   * Begins the next term. From its commit on nothing of an earlier term is committed: each
   * transaction of a duty compares the term, and throws a TermOverError where it is another one.
   * @param leader a run, which nobody else is
   */
  begin(leader: string): Promise<Term>;
  /**
   * Resolves when this is the term still.
   * @throws TermOverError when it is another one
   */
  confirm(term: Term): Promise<void>;
}
