/** Shows the one sentence on top: how it stands, or that nobody knows as the server is not heard. */
import type { Snapshot } from "../snapshot.ts";
import { byId, fillList, setText } from "./dom.ts";
import { duration, moment } from "./wording.ts";

export class VerdictView {
  readonly #section = byId("verdict", HTMLElement);
  readonly #text = byId("verdict-text", HTMLElement);
  readonly #since = byId("verdict-since", HTMLElement);
  readonly #advice = byId("verdict-advice", HTMLElement);
  readonly #findings = byId("findings", HTMLElement);
  readonly #announcer = byId("announcer", HTMLElement);
  #announced = "";

  show({ verdict, findings, atMs }: Snapshot): void {
    const { level, code, text, sinceMs, advice } = verdict;
    this.#section.dataset.level = level;
    setText(this.#text, text);
    setText(
      this.#since,
      sinceMs === null ? "" : `Since ${moment(sinceMs)}, for ${duration(atMs - sinceMs)}.`,
    );
    setText(this.#advice, advice === null ? "" : `What to do: ${advice}`);
    const others = findings.filter((finding) => finding.code !== code);
    fillList(this.#findings, others.map((finding) => `Also: ${finding.text}`));
    this.#announce(`${level} ${code}`, `${text} ${advice ?? ""}`);
    document.title = `${level === "well" ? "" : "⚠ "}dsProxy: ${text}`;
  }

  /** @param heardMs when it was heard last, by this machine's clock; undefined: never yet */
  showUnheard(heardMs: number | undefined): void {
    const text = "The server is not heard: connection lost, retrying.";
    this.#section.dataset.level = "unheard";
    setText(this.#text, text);
    setText(
      this.#since,
      heardMs === undefined
        ? "It has not been heard yet."
        : `Last heard at ${moment(heardMs)}, ${duration(Date.now() - heardMs)} ago. ` +
          "All numbers below are from then, and not of now.",
    );
    setText(
      this.#advice,
      "What to do: if this lasts, look whether the instance runs (its log, or /livez), and whether " +
        "the network between it and this browser is well.",
    );
    fillList(this.#findings, []);
    this.#announce("unheard", text);
    document.title = "⚠ dsProxy: not heard";
  }

  /** Reads it out when it is another one, and not each second as times in it grow. */
  #announce(key: string, text: string): void {
    if (key === this.#announced) return;
    this.#announced = key;
    setText(this.#announcer, text);
  }
}
