/** Is the page: what is heard goes to its parts, and what is old is never shown as if it were now. */
import type { Snapshot } from "../snapshot.ts";
import { Actions } from "./actions.ts";
import { byId, setText } from "./dom.ts";
import { follow } from "./follow.ts";
import { Hour } from "./hour.ts";
import { DeadLetters } from "./dead_letters.ts";
import type { Word } from "./memory.ts";
import { type Moment, Series } from "./series.ts";
import { showTables } from "./tables.ts";
import { Tiles } from "./tiles.ts";
import { tryBox } from "./try_box.ts";
import { VerdictView } from "./verdict_view.ts";
import { moment, timeOfDay } from "./wording.ts";

/** A word comes each second, or every other one where the page asks for it. */
const SILENT_MS = 3_500;

class Page {
  readonly #series = new Series();
  readonly #hour = new Hour(this.#series, (moment) => this.#lookAt(moment));
  readonly #verdict = new VerdictView();
  readonly #tiles = new Tiles();
  readonly #actions = new Actions();
  #snapshot: Snapshot | undefined;
  /** By this machine's clock, as the server's may differ. */
  #heardMs: number | undefined;
  #moment: Moment | undefined;
  readonly #openedMs = Date.now();

  constructor() {
    new DeadLetters(this.#actions);
    tryBox();
    setInterval(() => this.#checkSilence(), 500);
    document.addEventListener("visibilitychange", () => this.#show());
  }

  hear(word: Word): void {
    if (word.kind === "lost") this.#lose();
    else if (word.kind === "hour") {
      this.#series.take(word.moments);
      this.#show();
    } else {
      this.#snapshot = word.snapshot;
      this.#heardMs = Date.now();
      this.#series.add(word.snapshot);
      this.#setConnection("live", `live, ${timeOfDay(word.snapshot.atMs)}`);
      this.#show();
    }
  }

  get #isLive(): boolean {
    return document.body.dataset.connection === "live";
  }

  #show(): void {
    // Nobody sees a hidden page; what it missed it shows when it is looked at again.
    if (document.hidden) return;
    this.#hour.show();
    const snapshot = this.#snapshot;
    if (snapshot === undefined || !this.#isLive) return;
    const { name, role, version } = snapshot.instance;
    setText(byId("instance", HTMLElement), `${name} · role ${role} · version ${version}`);
    this.#verdict.show(snapshot);
    showTables(snapshot);
    this.#actions.show(snapshot);
    if (this.#moment === undefined) this.#tiles.showNow(snapshot);
  }

  /** @param moment undefined: now */
  #lookAt(looked: Moment | undefined): void {
    this.#moment = looked;
    document.body.dataset.moment = looked === undefined ? "now" : "past";
    const heading = looked === undefined ? "Now" : `At ${moment(looked.atMs)}`;
    setText(byId("now-heading", HTMLElement), heading);
    if (looked !== undefined) this.#tiles.showThen(looked.values);
    else if (this.#snapshot !== undefined) this.#tiles.showNow(this.#snapshot);
  }

  #checkSilence(): void {
    if (Date.now() - (this.#heardMs ?? this.#openedMs) > SILENT_MS) this.#lose();
  }

  #lose(): void {
    this.#setConnection("lost", "connection lost, retrying …");
    this.#verdict.showUnheard(this.#heardMs);
  }

  #setConnection(state: "live" | "lost", text: string): void {
    document.body.dataset.connection = state;
    setText(byId("connection-text", HTMLElement), text);
  }
}

const page = new Page();
follow((word) => page.hear(word));
