/**
 * Runs SQLite in a worker thread (worker.ts). It owns the thread: it starts it at the first call,
 * and a new one after a crash or a call that gave no answer. Nothing else here turns what the
 * thread reports into the words of src/errors.ts.
 */
import { DeadlineError, withDeadline } from "../../deadline.ts";
import {
  RejectedRowError,
  StoreRefusesError,
  StoreUnavailableError,
  StoreWentBackError,
} from "../../errors.ts";
import type { Failure, Reply, Request } from "./messages.ts";

export interface SqliteOptions {
  /** It is the path of the database file, which is made when missing; its directory must exist. */
  readonly path: string;
  /**
   * A call waits for an answer for so long; the default is 30 s, as a disk can be slow without
   * being gone.
   */
  readonly callTimeoutMs?: number;
}

/** A disk can be slow for so long without being gone. */
const DEFAULT_CALL_TIMEOUT_MS = 30_000;

export type Call = Request extends infer R ? R extends Request ? Omit<R, "id"> : never : never;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class SqliteDatabase {
  readonly #path: string;
  readonly #limitMs: number;
  #thread: Thread | undefined;
  #closed = false;

  /** Does not touch the file before the first call is made. */
  constructor({ path, callTimeoutMs = DEFAULT_CALL_TIMEOUT_MS }: SqliteOptions) {
    this.#path = path;
    this.#limitMs = callTimeoutMs;
  }

  /**
   * Makes a call.
   * @returns what the worker answers to that call
   * @throws StoreError
   */
  async call(call: Call): Promise<unknown> {
    if (this.#closed) throw new StoreUnavailableError(CLOSED);
    const thread = this.#thread ??= this.#startThread();
    const name = `SQLite (${this.#path})`;
    try {
      await withDeadline(thread.started, this.#limitMs, name);
      return await withDeadline(thread.call(call), this.#limitMs, name);
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error;
      this.#discard(thread, error);
      throw new StoreUnavailableError(error.message, undefined, { cause: error });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const thread = this.#thread;
    if (thread === undefined) return;
    try {
      await withDeadline(thread.call({ call: "stop" }), this.#limitMs, "SQLite");
    } finally {
      thread.end(new StoreUnavailableError(CLOSED));
      this.#thread = undefined;
    }
  }

  #startThread(): Thread {
    const thread = new Thread(this.#path, (reason) => this.#discard(thread, reason));
    thread.started.catch((error) => this.#discard(thread, error));
    return thread;
  }

  #discard(thread: Thread, reason: Error): void {
    thread.end(reason);
    if (this.#thread === thread) this.#thread = undefined;
  }
}

const CLOSED = "The SQLite store is closed";

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** It is one worker and the calls it has not answered. */
class Thread {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), {
    type: "module",
    name: "sqlite",
  });
  readonly #waiting = new Map<number, Waiting>();
  readonly started: Promise<unknown>;
  #lastId = 0;
  #ended = false;

  /**
   * Starts the thread.
   * @param onCrash told when the thread has ended by itself
   */
  constructor(path: string, onCrash: (reason: Error) => void) {
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ("error" in data) waiting?.reject(errorOf(path, data));
      else waiting?.resolve(data.result);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      onCrash(new StoreUnavailableError(`SQLite (${path}): its thread failed: ${event.message}`));
    };
    this.started = this.call({ call: "start", path });
  }

  call(call: Call): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        return reject(new StoreUnavailableError("The SQLite thread has ended"));
      }
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...call, id });
    });
  }

  /** Ends the thread; what it has not answered rejects with `reason`. */
  end(reason: Error): void {
    this.#ended = true;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}

function errorOf(
  path: string,
  { error, kind, code }: Failure,
): Error {
  if (kind === "rejected") return new RejectedRowError(code, error);
  const message = `SQLite (${path}): ${error}`;
  if (kind === "refuses") return new StoreRefusesError(code, message);
  if (kind === "went back") return new StoreWentBackError(message);
  return kind === "may pass" ? new StoreUnavailableError(message, code) : new Error(message);
}
