/**
 * Hears the server: by its stream of events, which is opened again whenever it breaks, and by asking
 * now and then where streams do not come through.
 */
import type { History, Snapshot } from "../snapshot.ts";

export interface Heard {
  /** The last hour as the server remembers it; it comes first after each new connection. */
  history(history: History): void;
  snapshot(snapshot: Snapshot): void;
  lost(): void;
}

/** A stream that is silent for so long, where an event comes each second, is a dead one. */
const SILENT_MS = 4_000;
const ASK_LIMIT_MS = 3_000;
const ASK_EACH_MS = 2_000;
/** After so many answers the stream is tried again. */
const ANSWERS_BETWEEN_STREAMS = 15;
const WAIT_MS = { first: 250, most: 4_000 };

export class ServerFeed {
  /** @param url of the events */
  constructor(private readonly url: URL, private readonly heard: Heard) {}

  /** @param byStream false where each page asks for itself: a stream a page would be too many */
  async follow(byStream: boolean): Promise<never> {
    for (let waitMs = WAIT_MS.first;;) {
      const events = byStream ? await this.#streamUntilItBreaks() : 0;
      if (events > 0) {
        this.heard.lost();
        waitMs = WAIT_MS.first;
      } else if (await this.#askWhileItAnswers()) {
        waitMs = WAIT_MS.first;
        continue;
      }
      // Not all browsers at the same moment.
      await delay(waitMs * (0.5 + Math.random()));
      waitMs = Math.min(2 * waitMs, WAIT_MS.most);
    }
  }

  /** Resolves when the stream is of no use any more, with how many events had come. */
  #streamUntilItBreaks(): Promise<number> {
    return new Promise((resolve) => {
      const source = new EventSource(this.url);
      let events = 0;
      const end = () => {
        clearTimeout(silence);
        source.close();
        resolve(events);
      };
      let silence = setTimeout(end, SILENT_MS);
      const on = <T>(name: string, take: (data: T) => void) =>
        source.addEventListener(name, ({ data }: MessageEvent<string>) => {
          clearTimeout(silence);
          silence = setTimeout(end, SILENT_MS);
          events++;
          take(JSON.parse(data));
        });
      on<History>("history", (history) => this.heard.history(history));
      on<Snapshot>("snapshot", (snapshot) => this.heard.snapshot(snapshot));
      // What the browser would do by itself differs, and it gives up on an answer such as 503.
      source.onerror = end;
    });
  }

  /** Resolves with whether there was an answer. */
  async #askWhileItAnswers(): Promise<boolean> {
    for (let answers = 0; answers < ANSWERS_BETWEEN_STREAMS; answers++) {
      if (!await this.#ask(answers === 0)) {
        this.heard.lost();
        return false;
      }
      await delay(ASK_EACH_MS);
    }
    return true;
  }

  async #ask(withHistory: boolean): Promise<boolean> {
    try {
      const response = await fetch(withHistory ? `${this.url}?history` : this.url, {
        headers: { accept: "application/json" },
        cache: "no-store",
        signal: AbortSignal.timeout(ASK_LIMIT_MS),
      });
      if (!response.ok) return false;
      const { history, snapshot } = await response.json() as {
        history?: History;
        snapshot: Snapshot;
      };
      if (history !== undefined) this.heard.history(history);
      this.heard.snapshot(snapshot);
      return true;
    } catch {
      return false; // Whatever it was, nothing was heard: the page says so.
    }
  }
}

function delay(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
