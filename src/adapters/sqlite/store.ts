/**
 * The embedded store: SQLite in a worker thread (sqlite_worker.ts). Owns the thread: starts it at
 * the first call, starts a new one after a crash or a call that gave no answer.
 */
import { withDeadline } from "../../deadline.ts";
import type { Entry } from "../../domain.ts";
import { RejectedRowError, StoreRefusesError, StoreWentBackError } from "../../errors.ts";
import type { DeadLetter, DeadLetters } from "../../ports/dead_letters.ts";
import type { PutResult, Store } from "../../ports/store.ts";
import type { Identity, StoreIdentity } from "../../ports/store_identity.ts";
import type { Reply, Request } from "./worker.ts";

export interface SqliteStoreOptions {
  /** Path of the database file, which is made when missing; its directory must exist. */
  readonly path: string;
  /**
   * How long a call waits for an answer; default 30 s, as a disk can be slow without being gone.
   */
  readonly callTimeoutMs?: number;
}

/** Does not touch the file before the first call. */
export function createSqliteStore(
  options: SqliteStoreOptions,
): Store & StoreIdentity & DeadLetters {
  return new SqliteStore(options);
}

const DEFAULT_CALL_TIMEOUT_MS = 30_000;

type Call = Request extends infer R ? R extends Request ? Omit<R, "id"> : never : never;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

class SqliteStore implements Store, StoreIdentity, DeadLetters {
  #thread: Thread | undefined;
  #closed = false;

  constructor(private readonly options: SqliteStoreOptions) {}

  async open(source: string): Promise<number> {
    return await this.#call({ call: "open", source }) as number;
  }
  async put(source: string, entries: readonly Entry[], confirmedSeq: number): Promise<PutResult> {
    return await this.#call({ call: "put", source, entries, confirmedSeq }) as PutResult;
  }
  async marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return await this.#call({ call: "marks", sources }) as ReadonlyMap<string, number>;
  }
  async identify(): Promise<Identity> {
    return await this.#call({ call: "identify" }) as Identity;
  }
  async outdateCopies(): Promise<Identity> {
    return await this.#call({ call: "outdateCopies" }) as Identity;
  }
  async count(): Promise<number> {
    return await this.#call({ call: "count" }) as number;
  }
  async list(limit: number, after?: Pick<DeadLetter, "source" | "seq">): Promise<DeadLetter[]> {
    return await this.#call({ call: "list", limit, after }) as DeadLetter[];
  }
  async find(id: string): Promise<DeadLetter | undefined> {
    return await this.#call({ call: "find", writeId: id }) as DeadLetter | undefined;
  }
  async replay(id: string): Promise<Entry | undefined> {
    return await this.#call({ call: "replay", writeId: id }) as Entry | undefined;
  }
  async discard(id: string): Promise<boolean> {
    return await this.#call({ call: "discard", writeId: id }) as boolean;
  }
  async latest(userId: string): Promise<Entry | undefined> {
    return await this.#call({ call: "latest", userId }) as Entry | undefined;
  }
  async ping(): Promise<void> {
    await this.#call({ call: "ping" });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const thread = this.#thread;
    if (thread === undefined) return;
    try {
      await withDeadline(
        thread.call({ call: "stop" }),
        this.options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS,
        "SQLite",
      );
    } finally {
      thread.end(new Error("The SQLite store is closed"));
      this.#thread = undefined;
    }
  }

  async #call(call: Call): Promise<unknown> {
    if (this.#closed) throw new Error("The SQLite store is closed");
    const thread = this.#thread ??= this.#startThread();
    const limitMs = this.options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    try {
      await withDeadline(thread.started, limitMs, `SQLite (${this.options.path})`);
      return await withDeadline(thread.call(call), limitMs, `SQLite (${this.options.path})`);
    } catch (error) {
      if (thread.broken || (error instanceof Error && error.name === "DeadlineError")) {
        this.#discard(thread, error);
      }
      throw error;
    }
  }

  #startThread(): Thread {
    const thread = new Thread(this.options.path);
    thread.started.catch((error) => this.#discard(thread, error));
    return thread;
  }

  #discard(thread: Thread, reason: unknown): void {
    thread.end(reason instanceof Error ? reason : new Error(String(reason)));
    if (this.#thread === thread) this.#thread = undefined;
  }
}

function errorOf(
  path: string,
  { error, kind, code = "" }: Extract<Reply, { readonly error: string }>,
): Error {
  if (kind === "rejected") return new RejectedRowError(code, error);
  const message = `SQLite (${path}): ${error}`;
  if (kind === "refuses") return new StoreRefusesError(code, message);
  return kind === "went back" ? new StoreWentBackError(message) : new Error(message);
}

/** One worker and the calls it has not answered. */
class Thread {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), {
    type: "module",
    name: "sqlite",
  });
  readonly #waiting = new Map<number, Waiting>();
  readonly started: Promise<unknown>;
  #lastId = 0;
  broken = false;

  constructor(path: string) {
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ("error" in data) waiting?.reject(errorOf(path, data));
      else waiting?.resolve(data.result);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.end(new Error(`SQLite (${path}): its thread failed: ${event.message}`));
    };
    this.started = this.call({ call: "start", path });
  }

  call(call: Call): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.broken) return reject(new Error("The SQLite thread has ended"));
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...call, id });
    });
  }

  /** Ends the thread; what it has not answered rejects with `reason`. */
  end(reason: Error): void {
    this.broken = true;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}
