/**
 * The simulated store, as far as terms go: who compares the term keeps it from ending until the
 * transaction has; a transaction whose client is silent is ended by the server.
 */
import { StoreUnavailableError, TermOverError } from "../../../src/errors.ts";
import type { Term, Terms } from "../../../src/ports/terms.ts";
import type { World } from "../../simulation/world.ts";
import { type SimulatedProcess, SimulatedWay, type Ways } from "./process.ts";
import type { LeaseBug } from "./simulation.ts";

const IDLE_LIMIT_MS = 8_000;
/** Nobody waits longer for an answer. */
const CALL_LIMIT_MS = 5_000;

interface OpenTransaction {
  readonly term: Term;
  isOpen: boolean;
}

export class SimulatedTermStore {
  commits = 0;
  refused = 0;
  lastCommitMs = 0;
  #current: Term = { number: 0, leader: "" };
  #highest = 0;
  readonly #open = new Set<OpenTransaction>();
  #untilFree: (() => void)[] = [];

  constructor(
    private readonly world: World,
    private readonly bug: LeaseBug | undefined,
    private readonly ways: Ways,
  ) {}

  get term(): number {
    return this.#current.number;
  }

  client(process: SimulatedProcess): Terms {
    const way = new SimulatedWay(this.world, this.ways, process, "store");
    return {
      begin: (leader) => way.call("begin", () => this.#begin(leader)),
      confirm: (term) => way.call("confirm", () => this.#compare(term)),
    };
  }

  /** One transaction: it compares the term, then changes something, and commits. */
  async commit(process: SimulatedProcess, term: Term): Promise<void> {
    const way = new SimulatedWay(this.world, this.ways, process, "store");
    const transaction = await within(process, way.call("compare", () => this.#openFor(term)));
    await within(process, way.call("commit", () => this.#commit(transaction)));
  }

  /** It waits for the transactions that have compared the term before. */
  async #begin(leader: string): Promise<Term> {
    while (this.#open.size > 0) {
      await new Promise<void>((resolve) => this.#untilFree.push(resolve));
    }
    this.#current = { number: this.#current.number + 1, leader };
    this.world.trace(`${leader} begins the term ${this.#current.number}`);
    return this.#current;
  }

  #compare({ number, leader }: Term): void {
    const { number: current, leader: leads } = this.#current;
    if (number === current && leader === leads) return;
    this.refused++;
    throw new TermOverError(`The term ${number} is over: ${leads} leads by the term ${current}`);
  }

  #openFor(term: Term): OpenTransaction {
    const transaction = { term, isOpen: true };
    if (this.bug === "stale-term-accepted") return transaction;
    this.#compare(term);
    this.#open.add(transaction);
    this.world.after(IDLE_LIMIT_MS, "idle", () => this.#end(transaction));
    return transaction;
  }

  #commit(transaction: OpenTransaction): void {
    if (!transaction.isOpen) throw new StoreUnavailableError("the transaction was ended");
    const { number, leader } = transaction.term;
    if (number < this.#highest) {
      this.world.violated(`${leader} committed by the term ${number}, after ${this.#highest}`);
    }
    this.#highest = Math.max(this.#highest, number);
    this.commits++;
    this.lastCommitMs = this.world.nowMs;
    this.#end(transaction);
  }

  #end(transaction: OpenTransaction): void {
    transaction.isOpen = false;
    if (!this.#open.delete(transaction) || this.#open.size > 0) return;
    const waiting = this.#untilFree;
    this.#untilFree = [];
    for (const go of waiting) go();
  }
}

function within<T>(process: SimulatedProcess, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new StoreUnavailableError("no answer in time"));
    const cancel = process.clock(() => 0).setTimeout(late, CALL_LIMIT_MS);
    work.then(resolve, reject).finally(cancel);
  });
}
