/**
 * Keeps what has been opened, so that all of it is closed again, whatever becomes of the others.
 */
import type { Log } from "./telemetry/log.ts";

type Close = () => void | Promise<void>;

export class ClosingList<Part extends string> {
  readonly #open: { readonly part: Part; readonly close: Close }[] = [];

  constructor(
    private readonly tell: (event: `${Part} closed` | `${Part} not closed`) => void,
    private readonly log: Pick<Log, "error">,
  ) {}

  /**
   * Parts have to be added in the order in which they are opened.
   * @param close closes what was opened after all that is in the list
   */
  add(part: Part, close: Close): void {
    this.#open.push({ part, close });
  }

  /**
   * Closes the last that was opened first, as the later parts rely on the earlier ones.
   * @returns the first failure, after all were tried
   */
  async closeAll(): Promise<{ readonly error: unknown } | undefined> {
    let first: { readonly error: unknown } | undefined;
    for (let last = this.#open.pop(); last !== undefined; last = this.#open.pop()) {
      const { part, close } = last;
      try {
        await close();
        this.tell(`${part} closed`);
      } catch (error) {
        first ??= { error };
        this.log.error(`The ${part} could not be closed`, { event: "stop-incomplete", error });
        this.tell(`${part} not closed`);
      }
    }
    return first;
  }
}
