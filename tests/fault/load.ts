/** Clients that write and read back all the time, whatever is done to the service, and keep account of what it promised them. */
import assert from "node:assert/strict";
import type { Dsproxy } from "../support/dsproxy.ts";
import { once } from "../support/postgres.ts";
import { delay } from "../support/services.ts";

export interface Account {
  readonly acknowledged: number;
  /** Acknowledged and not in the database. */
  readonly lost: string[];
  /** In the database more than once. */
  readonly doubled: string[];
  /** Reads that returned something older than what their client had been promised. */
  readonly stale: string[];
  /** Answers that nobody should get: neither a promise kept nor an honest 503. */
  readonly unexpected: string[];
}

const PAUSE_MS = 3;
/** Enough that some were last written before a fault, and are read after it without having been written again. */
const USERS_PER_WRITER = 500;
const REQUEST_LIMIT_MS = 30_000;
const FIRST_TS = 1_700_000_000;

export class Load {
  #target: Dsproxy | undefined;
  #running = true;
  readonly #acknowledged = new Set<string>();
  readonly #stale: string[] = [];
  readonly #unexpected: string[] = [];
  readonly #workers: Promise<void>[];

  /** @param writers each has users of its own, and so knows what a read of them has to return */
  constructor(writers = 8) {
    this.#workers = Array.from({ length: writers }, (_, writer) => this.#work(writer));
  }

  /** Sends what follows to this instance; undefined while there is none. */
  use(target: Dsproxy | undefined): void {
    this.#target = target;
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
  }

  /** After {@link stop}, once the queue is empty. */
  async account(databaseUrl: string): Promise<Account> {
    const rows = await once(
      databaseUrl,
      (sql) => sql<{ value: string; n: number }[]>`select value, count(*)::int as n from user_data group by value`,
    );
    const counts = new Map(rows.map(({ value, n }) => [value, n]));
    return {
      acknowledged: this.#acknowledged.size,
      lost: [...this.#acknowledged].filter((value) => !counts.has(value)),
      doubled: rows.filter(({ n }) => n > 1).map(({ value }) => value),
      stale: this.#stale,
      unexpected: this.#unexpected,
    };
  }

  async #work(writer: number): Promise<void> {
    const promised = new Array<number>(USERS_PER_WRITER).fill(-1);
    const sent = [...promised];
    for (let i = 0; this.#running; i++) {
      await delay(PAUSE_MS);
      const target = this.#target;
      if (target === undefined) continue;
      try {
        const written = i % USERS_PER_WRITER;
        sent[written] = i;
        if (await this.#write(target, `writer${writer}-${written}`, i)) promised[written] = i;
        // Each time another one, and none twice in a row of all.
        const read = i % 2 === 0 ? written : (i * 7) % USERS_PER_WRITER;
        await this.#readBack(target, `writer${writer}-${read}`, promised[read]!, sent[read]!);
      } catch (error) {
        // The instance went away before its answer: nothing was promised.
        if (!(error instanceof TypeError)) this.#unexpected.push(String(error));
      }
    }
  }

  async #write(target: Dsproxy, user: string, i: number): Promise<boolean> {
    const value = `${user}/${i}`;
    const response = await fetch(`${target.url}/write?ack=durable`, {
      method: "POST",
      body: JSON.stringify({ user_id: user, value, ts: FIRST_TS + i }),
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const text = await response.text();
    if (response.status === 202) this.#acknowledged.add(value);
    else if (response.status !== 503) this.#unexpected.push(`write: ${response.status} ${text}`);
    return response.status === 202;
  }

  async #readBack(target: Dsproxy, user: string, promised: number, sent: number): Promise<void> {
    const response = await fetch(`${target.url}/read?user_id=${user}`, {
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const text = await response.text();
    if (response.status === 503 || (response.status === 404 && promised < 0)) return;
    const found = response.status === 200 ? Number(text.split("/")[1]) : -1;
    if (found < promised || found > sent) this.#stale.push(`${user}: ${response.status} ${text}, promised ${promised}`);
  }
}

export function assertNothingBroken({ acknowledged, lost, doubled, stale, unexpected }: Account, hint: string): void {
  assert.ok(acknowledged > 10, `only ${acknowledged} writes were acknowledged; ${hint}`);
  const first = (list: string[]) => list.slice(0, 5);
  assert.deepEqual(
    { lost: first(lost), doubled: first(doubled), stale: first(stale), unexpected: first(unexpected) },
    { lost: [], doubled: [], stale: [], unexpected: [] },
    hint,
  );
}
