/**
 * Does what changes something: with the admin key that was typed in, and after it was confirmed. The
 * key stays in this object alone: it is in no storage, no address and no cookie.
 */
import type { Snapshot } from "../snapshot.ts";
import { type Answer, call, Refused } from "./call.ts";
import { byId, setText } from "./dom.ts";
import { bytes, counted } from "./wording.ts";

type Action = "flush" | "pause" | "resume";

interface Question {
  readonly heading: string;
  /** It names what is meant, and how much that is. */
  readonly text: string;
  readonly yes: string;
}

export class Actions {
  readonly #key = byId("key", HTMLInputElement);
  readonly #dialog = byId("confirm", HTMLDialogElement);
  readonly #outcome = byId("operate-outcome", HTMLElement);
  #snapshot: Snapshot | undefined;

  constructor() {
    byId("key-form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    byId("confirm-yes", HTMLButtonElement).addEventListener("click", () => {
      this.#dialog.close("yes");
    });
    byId("confirm-no", HTMLButtonElement).addEventListener("click", () => this.#dialog.close("no"));
    this.#offer("flush", () => ({
      heading: "Flush now?",
      text: `${this.#waiting}, and what waits is brought there at once, not with the next batch.`,
      yes: "Flush",
    }));
    this.#offer("pause", () => ({
      heading: "Pause?",
      text:
        `Nothing is brought to the store until somebody resumes. ${this.#waiting}; the journal ` +
        `has ${this.#room} left, and what comes when it is full is refused.`,
      yes: "Pause",
    }));
    this.#offer("resume", () => ({
      heading: "Resume?",
      text: `Writes are brought to the store again. ${this.#waiting}.`,
      yes: "Resume",
    }));
  }

  show(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    const { isPaused, isDrained, phase } = snapshot.instance;
    byId("pause", HTMLButtonElement).disabled = isPaused;
    byId("resume", HTMLButtonElement).disabled = !isPaused && !isDrained && phase === "serving";
  }

  /** Resolves with whether it was confirmed. */
  confirm({ heading, text, yes }: Question): Promise<boolean> {
    setText(byId("confirm-heading", HTMLElement), heading);
    setText(byId("confirm-text", HTMLElement), text);
    setText(byId("confirm-yes", HTMLElement), yes);
    this.#dialog.returnValue = "no";
    return new Promise((resolve) => {
      this.#dialog.addEventListener("close", () => resolve(this.#dialog.returnValue === "yes"), {
        once: true,
      });
      this.#dialog.showModal();
      // What does no harm is chosen by a careless Enter.
      byId("confirm-no", HTMLButtonElement).focus();
    });
  }

  /** @throws Refused */
  async call(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> {
    if (this.#key.value === "") {
      this.#key.focus();
      throw new Refused("Type the admin key in first (under “Operate”).");
    }
    return await call(path, {
      method,
      headers: { authorization: `Bearer ${this.#key.value}` },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  #offer(action: Action, ask: () => Question): void {
    const question = () => {
      const { heading, text, yes } = ask();
      const name = this.#snapshot?.instance.name ?? "the instance";
      return { heading, text: `At ${name}: ${text}`, yes };
    };
    byId(action, HTMLButtonElement).addEventListener("click", () => {
      void tellOutcome(this.#outcome, async () => {
        if (!await this.confirm(question())) return "Nothing was changed.";
        const { text } = await this.call("POST", `admin/${action}`);
        return outcomeOf(action, JSON.parse(text) as Steered);
      });
    });
  }

  get #waiting(): string {
    const depth = this.#snapshot?.queue.depth;
    if (depth === undefined) return "An unknown number of writes";
    return `${counted(depth, "write")} ${depth === 1 ? "waits" : "wait"} for the store`;
  }

  get #room(): string {
    const journal = this.#snapshot?.journal;
    return journal === undefined
      ? "nobody knows how much"
      : bytes(journal.maxBytes - journal.bytes + journal.retainedBytes);
  }
}

/** What the server says of a flush, a pause and a resumption. */
interface Steered {
  /** Of a flush: all that waited when it was asked for is in the store. */
  readonly stored?: boolean;
  /** Of a pause: no flush is under way any more. */
  readonly quiet?: boolean;
  readonly waiting: number;
}

function outcomeOf(action: Action, { stored, quiet, waiting }: Steered): string {
  const waits = `${counted(waiting, "write")} ${waiting === 1 ? "waits" : "wait"}.`;
  if (action === "resume") return `Resumed: ${waits}`;
  if (action === "pause") {
    return `Paused${quiet === false ? ", once the flush under way has ended" : ""}: ${waits}`;
  }
  return stored === true
    ? "Flushed: what waited is in the store."
    : `The store has not taken all of it yet: ${waits}`;
}

/** Shows what a deed returns, or why it was refused. */
export async function tellOutcome(place: Element, deed: () => Promise<string>): Promise<void> {
  setText(place, "…");
  place.classList.remove("problem");
  try {
    setText(place, await deed());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.classList.add("problem");
    setText(place, error.message);
  }
}
