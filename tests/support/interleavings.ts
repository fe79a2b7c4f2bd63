/**
 * Runs transactions against each other on a real PostgreSQL, one statement at a time, in every order
 * in which their statements can be sent. A statement that waits for another transaction's lock is
 * left waiting, and the others go on.
 */
import pg from "pg";
import { CopyIn } from "../../src/adapters/postgres/copy.ts";
import type { Result, Transaction } from "../../src/adapters/postgres/session.ts";
import { delay } from "./services.ts";

/** One transaction; it is committed when this resolves. */
export type Work = (transaction: Transaction) => Promise<unknown>;

export interface Trial {
  /** Makes what is there before. */
  readonly prepare: string;
  readonly works: readonly Work[];
  /** The first of these works has its first statement behind it when the others begin. */
  readonly isBegun?: boolean;
  /** A transaction that fails so is rolled back, and that is as it should be. */
  readonly mayFail?: (error: unknown) => boolean;
  /** Looks at what is there afterwards, and throws when that is wrong. */
  readonly check: (client: pg.Client) => Promise<void>;
}

/**
 * Sends what `work` sends as one text of several statements one by one, so that others may come
 * between.
 */
export function oneByOne(work: Work): Work {
  return (transaction) =>
    work({
      ...transaction,
      async query<Row>(text: string, parameters?: readonly unknown[]): Promise<Result<Row>> {
        if (parameters !== undefined) return await transaction.query<Row>(text, parameters);
        const statements = text.split(";");
        for (const statement of statements.slice(0, -1)) await transaction.query(statement);
        return await transaction.query<Row>(statements.at(-1)!);
      },
    });
}

const LOOK_AGAIN_MS = 0.2;

/**
 * Tries every order; returns how many there are.
 * @throws what the first check throws that fails, with the order named
 */
export async function tryEveryOrder(url: string, trial: Trial): Promise<number> {
  const clients = await Promise.all(
    Array.from({ length: trial.works.length + 1 }, () => connect(url)),
  );
  const [watcher, ...workers] = clients;
  try {
    let orders = 0;
    // Depth first: what was chosen at each place, and how many choices there were.
    let path: { chosen: number; choices: number }[] = [];
    for (;;) {
      await watcher!.query(trial.prepare);
      const run = new Run(watcher!, workers, trial);
      path = await run.follow(path);
      orders++;
      try {
        await trial.check(watcher!);
      } catch (cause) {
        throw new Error(`In the order ${run.order.join(" ")}: ${(cause as Error).message}`, {
          cause,
        });
      }
      let last = path.pop();
      while (last !== undefined && last.chosen + 1 === last.choices) last = path.pop();
      if (last === undefined) return orders;
      path.push({ ...last, chosen: last.chosen + 1 });
    }
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

class Run {
  /** The places of those whose statements were sent, in order. */
  readonly order: number[] = [];
  readonly #actors: Actor[];

  constructor(
    private readonly watcher: pg.Client,
    workers: readonly pg.Client[],
    private readonly trial: Trial,
  ) {
    this.#actors = trial.works.map((work, i) => new Actor(workers[i]!, work));
  }

  /** Goes the way that is given, and where that ends always takes the first; returns the whole way. */
  async follow(path: readonly { chosen: number; choices: number }[]) {
    const taken: { chosen: number; choices: number }[] = [];
    for (;;) {
      await this.#settle();
      const ready = this.#ready(taken.length === 0);
      if (ready.length === 0) break;
      const chosen = path[taken.length]?.chosen ?? 0;
      taken.push({ chosen, choices: ready.length });
      this.order.push(this.#actors.indexOf(ready[chosen]!));
      ready[chosen]!.goOn();
    }
    for (const actor of this.#actors) await actor.ended.catch(this.#failed);
    return taken;
  }

  #ready(atFirst: boolean): Actor[] {
    const ready = this.#actors.filter((actor) => actor.isReady);
    return atFirst && this.trial.isBegun ? ready.slice(0, 1) : ready;
  }

  readonly #failed = (error: unknown): void => {
    if (!this.trial.mayFail?.(error)) throw error;
  };

  /** Waits until each is ready for its next statement, has ended, or waits for a lock. */
  async #settle(): Promise<void> {
    for (;;) {
      const busy = this.#actors.filter((actor) => actor.isBusy);
      if (busy.length === 0) return;
      // Most are done before anybody has to be asked.
      await delay(LOOK_AGAIN_MS);
      if (!busy.every((actor) => actor.isBusy)) continue;
      const { rows } = await this.watcher.query<{ waits: boolean }>(
        "select cardinality(pg_blocking_pids(pid)) > 0 as waits from unnest($1::int[]) as t (pid)",
        [busy.map(({ pid }) => pid)],
      );
      if (rows.every(({ waits }) => waits) && busy.every((actor) => actor.isBusy)) return;
    }
  }
}

class Actor {
  isReady = false;
  isBusy = true;
  readonly ended: Promise<void>;
  #next: (() => void) | undefined;
  readonly #last: string[] = [];
  #hasBegun = false;

  constructor(private readonly client: pg.Client, work: Work) {
    this.ended = this.#run(work);
    // It is awaited once all have come to their end.
    this.ended.catch(() => {});
  }

  get pid(): number {
    return (this.client as unknown as { readonly processID: number }).processID;
  }

  goOn(): void {
    this.isReady = false;
    this.isBusy = true;
    this.#next!();
  }

  async #run(work: Work): Promise<void> {
    const transaction: Transaction = {
      query: (text, parameters) => this.#send(() => this.#query(text, parameters)),
      copy: (text, rows) => this.#send(() => this.#copy(text, rows)),
      atEnd: (text) => void this.#last.push(text),
    };
    try {
      await work(transaction);
      await this.#send(() => this.client.query([...this.#last, "commit"].join("; ")));
    } catch (error) {
      await this.client.query("rollback");
      throw error;
    } finally {
      this.isBusy = false;
    }
  }

  /** A statement waits for its turn; what begins the transaction goes out with the first. */
  async #send<T>(statement: () => Promise<T>): Promise<T> {
    this.isBusy = false;
    this.isReady = true;
    await new Promise<void>((resolve) => this.#next = resolve);
    if (!this.#hasBegun) await this.client.query("begin isolation level read committed");
    this.#hasBegun = true;
    return await statement();
  }

  async #query<Row>(text: string, parameters: readonly unknown[] = []): Promise<Result<Row>> {
    const answer = parameters.length > 0
      ? await this.client.query(text, [...parameters])
      : await this.client.query(text);
    return [answer].flat().at(-1) as unknown as Result<Row>;
  }

  #copy(text: string, rows: Iterable<string>): Promise<number> {
    return new Promise((resolve, reject) =>
      this.client.query(
        new CopyIn(text, rows, (error, result) => {
          if (error) reject(error);
          else resolve([result].flat().at(-1)!.rowCount ?? 0);
        }),
      )
    );
  }
}
