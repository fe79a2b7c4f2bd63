/** Reads `/events` as pages do: the last snapshot that came. */
import assert from "node:assert/strict";
import type { History, Snapshot } from "../../src/dashboard/snapshot.ts";
import { eventually } from "./dsproxy.ts";

export class Watcher implements AsyncDisposable {
  history: History | undefined;
  snapshots = 0;
  #last: Snapshot | undefined;
  readonly ended: Promise<void>;
  readonly #ending = new AbortController();

  private constructor(readonly response: Response) {
    this.ended = this.#read(response.body!);
  }

  static async of(url: string): Promise<Watcher> {
    const headers = { accept: "text/event-stream" };
    const response = await fetch(`${url}/events`, { headers });
    assert.equal(response.status, 200);
    return new Watcher(response);
  }

  get last(): Snapshot {
    assert.ok(this.#last !== undefined, "no snapshot has come yet");
    return this.#last;
  }

  /** Waits until a snapshot is as wanted. */
  async until(what: string, isWanted: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
    let found: Snapshot | undefined;
    await eventually(
      `${what}; the last one: ${JSON.stringify(this.#last?.findings)}`,
      () => Promise.resolve(this.#last !== undefined && isWanted(found = this.#last)),
    );
    return found!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.ended;
  }

  async #read(body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    let text = "";
    const { signal } = this.#ending;
    try {
      await body.pipeThrough(new TextDecoderStream()).pipeTo(
        new WritableStream<string>({
          write: (piece) => {
            text += piece;
            const events = text.split("\n\n");
            text = events.pop()!;
            events.forEach((event) => this.#take(event));
          },
        }),
        { signal },
      );
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #take(event: string): void {
    const data = /^data: (.*)$/m.exec(event)?.[1];
    if (data === undefined) return;
    if (/^event: history$/m.test(event)) this.history = JSON.parse(data);
    else {
      this.#last = JSON.parse(data);
      this.snapshots++;
    }
  }
}
