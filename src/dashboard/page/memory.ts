/** Keeps the last hour of what is heard, and passes it on as words that can go between threads. */
import type { Snapshot } from "../snapshot.ts";
import { type Moment, Series } from "./series.ts";
import { ServerFeed } from "./server_feed.ts";

export type Word =
  | { readonly kind: "hour"; readonly moments: readonly Moment[] }
  | { readonly kind: "snapshot"; readonly snapshot: Snapshot }
  | { readonly kind: "lost" };

export class Memory {
  readonly #series = new Series();
  #last: Snapshot | undefined;
  #isHeard = false;

  constructor(url: URL, byStream: boolean, private readonly tell: (word: Word) => void) {
    const feed = new ServerFeed(url, {
      history: (history) => {
        this.#series.load(history);
        this.tell({ kind: "hour", moments: this.#series.moments });
      },
      snapshot: (snapshot) => this.#take(snapshot),
      lost: () => {
        this.#isHeard = false;
        this.tell({ kind: "lost" });
      },
    });
    void feed.follow(byStream);
  }

  /** What somebody who comes now has to know. */
  get words(): Word[] {
    const words: Word[] = [{ kind: "hour", moments: this.#series.moments }];
    if (this.#isHeard && this.#last !== undefined) {
      words.push({ kind: "snapshot", snapshot: this.#last });
    }
    return words;
  }

  #take(snapshot: Snapshot): void {
    this.#isHeard = true;
    this.#last = snapshot;
    this.#series.add(snapshot);
    this.tell({ kind: "snapshot", snapshot });
  }
}
