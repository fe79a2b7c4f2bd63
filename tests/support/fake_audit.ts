/** An audit of numbers in memory, which tests lose and double. */
import type {
  Audit,
  AuditedSource,
  Checked,
  GoneReason,
  SurveyedSource,
} from "../../src/ports/audit.ts";
import type { Interval } from "../../src/ports/group_store.ts";

const NOTHING_GONE: Record<GoneReason, number> = {
  ...{ retired: 0, discarded: 0, withdrawn: 0, accepted: 0 },
};
/** As an adapter would, it names so much a call. */
const NAMED_MAX = 1_000;

export class FakeSource {
  /** So often each number is there, where that is not once. */
  readonly times = new Map<number, number>();
  strays: number[] = [];
  /** Sums differ, though each number is there once. */
  disagrees = false;

  constructor(public mark: number, readonly unknownThrough = 0) {}
}

export class FakeAudit implements Audit {
  readonly sources = new Map<string, FakeSource>();
  readonly calls: string[] = [];
  failWith: Error | undefined;
  /** It is called before each call is answered. */
  before: (call: string) => void | Promise<void> = () => {};

  add(source: string, mark: number, unknownThrough = 0): FakeSource {
    const made = new FakeSource(mark, unknownThrough);
    this.sources.set(source, made);
    return made;
  }

  async survey(): Promise<readonly SurveyedSource[]> {
    await this.#call("survey");
    return [...this.sources].map((
      [source, { mark, unknownThrough, times, strays, disagrees }],
    ) => ({
      ...{ source, mark, unknownThrough },
      rows: mark - unknownThrough,
      dead: 0,
      strays: strays.length,
      gone: NOTHING_GONE,
      agrees: times.size === 0 && !disagrees,
    }));
  }

  async check(source: string, first: number, last: number): Promise<Checked> {
    await this.#call(`check ${source} ${first}..${last}`);
    const { times, mark } = this.sources.get(source)!;
    const found = [...times].filter(([seq]) => seq >= first && seq <= Math.min(last, mark)).sort((
      [a],
      [b],
    ) => a - b);
    const missing = found.filter(([, often]) => often === 0).map(([seq]) => seq);
    const doubled = found.filter(([, often]) => often > 1).map(([seq, times]) => ({ seq, times }));
    return {
      numbers: Math.max(0, Math.min(last, mark) - first + 1),
      missing: { first: intervalsOf(missing).slice(0, NAMED_MAX), numbers: missing.length },
      doubled: { first: doubled.slice(0, NAMED_MAX), numbers: doubled.length },
    };
  }

  async strays(source: string, limit: number): Promise<readonly number[]> {
    await this.#call(`strays ${source}`);
    return this.sources.get(source)!.strays.slice(0, limit);
  }

  async accept(source: string, { first, last }: Interval): Promise<number> {
    const { missing: { numbers } } = await this.check(source, first, last);
    const { times } = this.sources.get(source)!;
    for (let seq = first; seq <= last; seq++) if (times.get(seq) === 0) times.delete(seq);
    return numbers;
  }

  isIndexed = true;
  async samples(): Promise<readonly AuditedSource[]> {
    await this.#call("samples");
    if (!this.isIndexed) return [];
    return [...this.sources].map(([source, { mark, unknownThrough }]) => ({
      ...{ source, mark, unknownThrough },
    }));
  }

  async #call(call: string): Promise<void> {
    this.calls.push(call);
    await this.before(call);
    if (this.failWith !== undefined) throw this.failWith;
  }
}

function intervalsOf(numbers: readonly number[]): Interval[] {
  const intervals: Interval[] = [];
  for (const seq of numbers) {
    const before = intervals.at(-1);
    if (before?.last === seq - 1) intervals[intervals.length - 1] = { ...before, last: seq };
    else intervals.push({ first: seq, last: seq });
  }
  return intervals;
}
