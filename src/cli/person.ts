/** Asks the person who typed the command, where there is one. */

export interface Person {
  /** It is false where a script runs the command: nobody can be asked. */
  readonly isThere: boolean;
  /** Asks a question; returns whether it was answered with yes. */
  confirm(question: string): boolean;
}

export function personAtTerminal(): Person {
  return {
    isThere: Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
    confirm: (question) => confirm(question),
  };
}
