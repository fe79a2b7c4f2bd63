/** Finds dead letters by a filter, and replays or discards what was found, in bounded steps. */
import { type Actions, tellOutcome } from "./actions.ts";
import { byId, type Cell, fillTable, setText } from "./dom.ts";
import { count, counted, moment } from "./wording.ts";

const SHOWN_MAX = 50;

interface Letter {
  readonly id: string;
  readonly user_id: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly failed_at: string;
}

interface Step {
  readonly done: number;
  readonly refused: number;
  readonly remaining: number;
  readonly next: string | null;
}

/** What is found and shown is what is dealt with, whatever is typed in meanwhile. */
interface Found {
  readonly filter: Readonly<Record<string, string>>;
  readonly words: string;
  readonly count: number;
}

type Deed = "replay" | "discard";

export class DeadLetters {
  readonly #outcome = byId("letters-outcome", HTMLElement);
  readonly #progress = byId("letters-progress", HTMLProgressElement);
  readonly #stop = byId("letters-stop", HTMLButtonElement);
  readonly #deeds = (["replay", "discard"] as const).map((deed) =>
    byId(`letters-${deed}`, HTMLButtonElement)
  );
  #found: Found | undefined;
  #isStopped = false;

  constructor(private readonly actions: Actions) {
    byId("letters-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#tell(() => this.#find());
    });
    this.#deeds[0]!.addEventListener("click", () => this.#tell(() => this.#do("replay")));
    this.#deeds[1]!.addEventListener("click", () => this.#tell(() => this.#do("discard")));
    this.#stop.addEventListener("click", () => this.#isStopped = true);
  }

  #tell(deed: () => Promise<string>): void {
    void tellOutcome(this.#outcome, deed);
  }

  async #find(): Promise<string> {
    const filter = readFilter();
    const query = new URLSearchParams(filter);
    const counted = await this.#get<{ count: number; reasons: { code: string; count: number }[] }>(
      `admin/dead-letters/count?${query}`,
    );
    query.set("limit", String(SHOWN_MAX));
    const { dead_letters } = await this.#get<{ dead_letters: Letter[] }>(
      `admin/dead-letters?${query}`,
    );
    const words = inWords(filter);
    this.#found = { filter, words, count: counted.count };
    byId("letters-found", HTMLElement).hidden = false;
    const reasons = counted.reasons.map(({ code, count: of }) => `${count(of)} × ${code}`);
    const summary = `${letters(counted.count)} ${words}${reasons.length > 0 ? ": " : "."}`;
    setText(byId("letters-summary", HTMLElement), summary + reasons.join(", "));
    this.#deeds.forEach((button) => button.disabled = counted.count === 0);
    fillTable("letters", dead_letters.map(rowOf), "None.");
    return `Found ${letters(counted.count)}.`;
  }

  async #get<T>(path: string): Promise<T> {
    return JSON.parse((await this.actions.call("GET", path)).text) as T;
  }

  async #do(deed: Deed): Promise<string> {
    const found = this.#found!;
    const what = `${letters(found.count)} ${found.words}`;
    const isConfirmed = await this.actions.confirm({
      heading: deed === "replay" ? "Replay dead letters?" : "Discard dead letters for good?",
      text: deed === "replay"
        ? `${what}: each is inserted into the store again, as it was accepted.`
        : `${what}: each is deleted, with its value. Nobody can bring it back.`,
      yes: `${deed === "replay" ? "Replay" : "Discard"} ${count(found.count)}`,
    });
    if (!isConfirmed) return "Nothing was changed.";
    this.#deeds.forEach((button) => button.disabled = true);
    try {
      const outcome = await this.#allSteps(deed, found);
      await this.#find();
      return outcome;
    } finally {
      this.#progress.hidden = this.#stop.hidden = true;
      this.#deeds.forEach((button) => button.disabled = this.#found?.count === 0);
    }
  }

  /** Each step is bounded at the server; after each one it can be stopped. */
  async #allSteps(deed: Deed, found: Found): Promise<string> {
    const [which, path] = [whichOf(found.filter), `admin/dead-letters/${deed}`];
    let [done, refused, next]: [number, number, string | null] = [0, 0, null];
    this.#isStopped = this.#progress.hidden = this.#stop.hidden = false;
    this.#progress.max = Math.max(1, found.count);
    do {
      const how = next === null ? { expect: found.count } : { after: next };
      const { text } = await this.actions.call("POST", path, { ...which, ...how });
      const step = JSON.parse(text) as Step;
      [done, refused, next] = [done + step.done, refused + step.refused, step.next];
      this.#progress.value = done + refused;
    } while (next !== null && !this.#isStopped);
    const past = deed === "replay" ? "replayed" : "discarded";
    const still = refused > 0 ? `, ${count(refused)} refused again by the database` : "";
    return `${letters(done)} ${past}${still}.${next === null ? "" : " Stopped: the rest stays."}`;
  }
}

function letters(many: number): string {
  return counted(many, "dead letter");
}

function readFilter(): Record<string, string> {
  const value = (id: string) => byId(id, HTMLInputElement).value;
  const filter: Record<string, string> = {};
  if (value("letters-user") !== "") filter.user_id = value("letters-user");
  if (value("letters-code").trim() !== "") filter.code = value("letters-code").trim();
  for (const name of ["from", "until"] as const) {
    // It is typed in by the clock of who looks, and sent as a moment.
    const time = value(`letters-${name}`);
    if (time !== "") filter[name] = new Date(time).toISOString();
  }
  return filter;
}

/** The server wants it said when all are meant. */
function whichOf(filter: Found["filter"]): Record<string, string | boolean> {
  return Object.keys(filter).length === 0 ? { all: true } : { ...filter };
}

function inWords({ user_id, code, from, until }: Record<string, string>): string {
  const words = [
    user_id === undefined ? "" : `of user ${JSON.stringify(user_id)}`,
    code === undefined ? "" : `with code ${code}`,
    from === undefined ? "" : `failed from ${moment(Date.parse(from))}`,
    until === undefined ? "" : `failed before ${moment(Date.parse(until))}`,
  ].filter((word) => word !== "");
  return words.length === 0 ? "in all, without a filter" : words.join(", ");
}

function rowOf(letter: Letter): Cell[] {
  return [
    { text: letter.id },
    { text: letter.user_id },
    { text: letter.code },
    { text: letter.message },
    { text: moment(Date.parse(letter.failed_at)) },
    { text: String(letter.attempts), className: "number" },
  ];
}
