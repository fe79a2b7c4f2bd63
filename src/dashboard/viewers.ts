/**
 * Are those who watch by a stream of events. All are sent the same bytes, which are made once. For
 * one that does not keep up nothing is kept: it misses what it cannot take, and is disconnected
 * when that goes on.
 */
import { AnswerEndedError, AppError } from "../errors.ts";

/** More are turned away; a browser needs one for all its tabs, and who polls needs none. */
export const VIEWERS_MAX = 50;
/** So many events may wait for one viewer … */
const WAITING_MAX = 2;
/** … and one that misses so many in a row is disconnected. */
const MISSED_MAX = 10;

interface Viewer {
  readonly stream: ReadableStreamDefaultController<Uint8Array>;
  missed: number;
}

export class Viewers {
  readonly #viewers = new Set<Viewer>();
  #isClosed = false;

  get size(): number {
    return this.#viewers.size;
  }

  /**
   * @param opening comes first
   * @throws AppError `too-many-viewers`
   */
  add(opening: Uint8Array): ReadableStream<Uint8Array> {
    if (this.#isClosed) throw new AppError("shutting-down", "The service is shutting down.");
    if (this.#viewers.size >= VIEWERS_MAX) {
      throw new AppError(
        "too-many-viewers",
        `${VIEWERS_MAX} viewers watch this instance already. Close a page, or ask with ` +
          "Accept: application/json now and then.",
      );
    }
    let viewer: Viewer;
    return new ReadableStream<Uint8Array>({
      start: (stream) => {
        stream.enqueue(opening);
        this.#viewers.add(viewer = { stream, missed: 0 });
      },
      cancel: () => {
        this.#viewers.delete(viewer);
      },
    }, { highWaterMark: WAITING_MAX });
  }

  send(event: Uint8Array): void {
    for (const viewer of [...this.#viewers]) {
      if (keepsUp(viewer)) {
        viewer.stream.enqueue(event);
        viewer.missed = 0;
      } else if (++viewer.missed >= MISSED_MAX) this.#disconnect(viewer);
    }
  }

  /** Ends all streams, so that nobody who watches holds up a stop. */
  close(): void {
    this.#isClosed = true;
    for (const viewer of [...this.#viewers]) {
      if (viewer.stream.desiredSize !== WAITING_MAX) {
        this.#disconnect(viewer);
        continue;
      }
      this.#viewers.delete(viewer);
      viewer.stream.close();
    }
  }

  /** What still waits for it would keep its connection open for as long as it likes. */
  #disconnect(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    viewer.stream.error(new AnswerEndedError("The viewer takes nothing"));
  }
}

function keepsUp({ stream }: Viewer): boolean {
  return (stream.desiredSize ?? 0) > 0;
}
