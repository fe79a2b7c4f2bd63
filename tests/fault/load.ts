/**
 * Clients that write and read back all the time, whatever is done to the service, and keep account
 * of what it promised them.
 */
import assert from "node:assert/strict";
import { once } from "../support/postgres.ts";
import { delay } from "../support/services.ts";

export interface Account {
  readonly acknowledged: number;
  /** Answers of any status to reads. */
  readonly reads: number;
  /** Answers 503, to writes and to reads. */
  readonly refused: number;
  /** Acknowledged, and neither in the database nor among its dead letters. */
  readonly lost: string[];
  /** In the database more than once. */
  readonly doubled: string[];
  /**
   * 200 with something that was never written for that user, or is older than what its client had
   * been promised.
   */
  readonly wrong: string[];
  /** 404 for a user whose write had been acknowledged. */
  readonly absent: string[];
  /** Answers that nobody should get: neither a promise kept nor an honest 503. */
  readonly unexpected: string[];
}

export interface LoadOptions {
  /** Each has users of its own, and so knows what a read of them has to return. */
  readonly writers: number;
  /**
   * Each writes its users once, and reads them as fast as it is answered: they come from where they
   * are stored.
   */
  readonly readers: number;
  /** After so many a writer begins anew with its first one. */
  readonly usersPerWriter: number;
  /** Tells this load's users from those of another one. */
  readonly name: string;
  /** Ends each value: tells them from those of another load for the same users. */
  readonly mark: string;
  /** The acknowledgement that writers ask for. */
  readonly ack: "durable" | "flushed";
  /**
   * How old a promise is before a read is held to it, milliseconds. 0 where reads go to the
   * instance that acknowledged; 1000 where another one may answer, to which only what is in the
   * database has been promised.
   */
  readonly graceMs: number;
  /** False for writers that read nothing: what is stored may be on its way there again. */
  readonly readsBack: boolean;
}

/** Anything that speaks the service's API. */
export interface Target {
  readonly url: string;
  /**
   * It was told to end, or has ended by itself: then no answer is no news. Left out for what stays:
   * it owes an answer to everybody.
   */
  mayBeGone?(): Promise<boolean>;
}

/** What its client knows about one user. */
interface User {
  readonly id: string;
  /** The numbers that were written for it, acknowledged or not. */
  readonly sent: Set<number>;
  /** The newest of them that was acknowledged; -1: none. */
  promised: number;
  promisedAtMs: number;
  /** What a read was to be held to when `promised` was new. */
  before: number;
}

const DEFAULTS: LoadOptions = {
  writers: 8,
  readers: 0,
  // Enough that some were last written before a fault, and are read after it without having been
  // written again.
  usersPerWriter: 500,
  name: "writer",
  mark: "",
  ack: "durable",
  graceMs: 0,
  readsBack: true,
};
const PAUSE_MS = 3;
const USERS_PER_READER = 40;
const REQUEST_LIMIT_MS = 30_000;
const FIRST_TS = 1_700_000_000;

export class Load {
  #targets: readonly Target[] = [];
  #running = true;
  readonly #options: LoadOptions;
  readonly #acknowledged = new Set<string>();
  readonly #wrong: string[] = [];
  readonly #absent: string[] = [];
  readonly #unexpected: string[] = [];
  readonly #users: User[] = [];
  #takenBack = 0;
  #asking = 0;
  #reads = 0;
  #refused = 0;
  readonly #workers: Promise<void>[];

  constructor(options: Partial<LoadOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
    const { writers, readers } = this.#options;
    this.#workers = [
      ...Array.from({ length: writers }, (_, writer) => this.#write(writer)),
      ...Array.from({ length: readers }, (_, reader) => this.#read(reader)),
    ];
  }

  /**
   * Sends what follows to these instances: what concerns one writer's users always to the same one.
   * None: nothing is sent.
   */
  use(...targets: readonly Target[]): void {
    this.#targets = targets;
  }

  /** See {@link Account.unexpected}. */
  get unexpected(): readonly string[] {
    return this.#unexpected;
  }

  /** Acknowledged so far, but for what was taken back. */
  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /**
   * Sends nothing more until the next {@link use}; returns when all that was sent has been
   * answered.
   */
  async pause(): Promise<void> {
    this.use();
    while (this.#asking > 0) await delay(PAUSE_MS);
  }

  /**
   * While paused: somebody destroyed what has been stored, so that nothing of it is promised any
   * more.
   */
  takeBack(): void {
    this.#takenBack += this.#acknowledged.size;
    this.#acknowledged.clear();
    for (const user of this.#users) user.promised = user.before = -1;
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
  }

  /** After {@link stop}, once the queue is empty. */
  async account(databaseUrl: string): Promise<Account> {
    const { rows, dead } = await once(databaseUrl, async (sql) => ({
      rows: await sql<
        { value: string; n: number }[]
      >`select value, count(*)::int as n from user_data group by value`,
      dead: await sql<{ value: string }[]>`select value from dsproxy_dead_letters`,
    }));
    const known = new Set([...rows, ...dead].map(({ value }) => value));
    return {
      acknowledged: this.#takenBack + this.#acknowledged.size,
      reads: this.#reads,
      refused: this.#refused,
      lost: [...this.#acknowledged].filter((value) => !known.has(value)),
      doubled: rows.filter(({ n }) => n > 1).map(({ value }) => value),
      wrong: this.#wrong,
      absent: this.#absent,
      unexpected: this.#unexpected,
    };
  }

  async #write(writer: number): Promise<void> {
    const { name, usersPerWriter } = this.#options;
    const users = this.#usersOf(`${name}${writer}`, usersPerWriter);
    for (let i = 0; this.#running; i++) {
      await delay(PAUSE_MS);
      const written = users[i % usersPerWriter]!;
      // Each time another one, and none twice in a row of all.
      const read = i % 2 === 0 ? written : users[(i * 7) % usersPerWriter]!;
      await this.#ask(writer, async (target) => {
        await this.#writeOne(target, written, i);
        if (this.#options.readsBack) await this.#readBack(target, read);
      });
    }
  }

  async #read(reader: number): Promise<void> {
    const users = this.#usersOf(`${this.#options.name}-reader${reader}`, USERS_PER_READER);
    for (let i = 0; this.#running; i++) {
      await delay(0);
      const user = users[i % USERS_PER_READER]!;
      await this.#ask(
        reader,
        (target) =>
          user.promised < 0 ? this.#writeOne(target, user, i) : this.#readBack(target, user),
      );
    }
  }

  /** @param client whose requests go to the same instance each time */
  async #ask(client: number, work: (target: Target) => Promise<void>): Promise<void> {
    const target = this.#targets[client % this.#targets.length];
    if (target === undefined) return await delay(PAUSE_MS);
    this.#asking++;
    try {
      await work(target);
    } catch (error) {
      // The instance went away before its answer: nothing was promised. One that is still there
      // must not drop a connection.
      const isExcused = error instanceof TypeError && await target.mayBeGone?.();
      if (!isExcused) this.#unexpected.push(String(error));
    } finally {
      this.#asking--;
    }
  }

  async #writeOne(target: Target, user: User, i: number): Promise<void> {
    const value = `${user.id}/${i}/${this.#options.mark}`;
    user.sent.add(i);
    const response = await fetch(`${target.url}/write?ack=${this.#options.ack}`, {
      method: "POST",
      body: JSON.stringify({ user_id: user.id, value, ts: FIRST_TS + i }),
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const text = await response.text();
    if (response.status === 503) this.#refused++;
    else if (response.status !== 202 && response.status !== 201) {
      this.#unexpected.push(`write: ${response.status} ${text}`);
    } else {
      this.#acknowledged.add(value);
      // Accepted at least; but only what has been flushed is promised to readers elsewhere.
      if (this.#options.ack === "durable" || response.status === 201) this.#promise(user, i);
    }
  }

  #promise(user: User, i: number): void {
    user.before = this.#floor(user);
    user.promised = i;
    user.promisedAtMs = performance.now();
  }

  /** The oldest number that a read begun now may return. */
  #floor({ promised, promisedAtMs, before }: User): number {
    return performance.now() - promisedAtMs >= this.#options.graceMs ? promised : before;
  }

  async #readBack(target: Target, user: User): Promise<void> {
    const floor = this.#floor(user);
    const response = await fetch(`${target.url}/read?user_id=${user.id}`, {
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const text = await response.text();
    this.#reads++;
    if (response.status === 503) return void this.#refused++;
    if (response.status === 404 && floor < 0) return;
    if (response.status !== 200 && response.status !== 404) {
      return void this.#unexpected.push(`read: ${response.status} ${text}`);
    }
    const report = `${user.id}: ${response.status} ${text.slice(0, 200)}, promised ${floor}`;
    if (response.status === 404) this.#absent.push(report);
    else if (!isOneOf(user, text, this.#options.mark, floor)) this.#wrong.push(report);
  }

  #usersOf(client: string, count: number): User[] {
    const nothing = () => ({ sent: new Set<number>(), promised: -1, promisedAtMs: 0, before: -1 });
    const users = Array.from({ length: count }, (_, i) => ({ id: `${client}-${i}`, ...nothing() }));
    this.#users.push(...users);
    return users;
  }
}

/** Whether `text` was written for this user, and not before `floor`. */
function isOneOf({ id, sent }: User, text: string, mark: string, floor: number): boolean {
  const i = Number(text.split("/")[1]);
  return text === `${id}/${i}/${mark}` && sent.has(i) && i >= floor;
}

/** The promises that nothing may break; 503s are honest. */
export const BROKEN = ["lost", "doubled", "wrong", "absent", "unexpected"] as const;

export function assertNothingBroken(account: Account, hint: string): void {
  assert.ok(
    account.acknowledged > 10,
    `only ${account.acknowledged} writes were acknowledged; ${hint}`,
  );
  const first = Object.fromEntries(BROKEN.map((kind) => [kind, account[kind].slice(0, 5)]));
  assert.deepEqual(first, Object.fromEntries(BROKEN.map((kind) => [kind, []])), hint);
}
