/** Shows the most important numbers, of now or of a moment in the last hour. */
import type { Snapshot } from "../snapshot.ts";
import { byId, setText } from "./dom.ts";
import { hitRatio, type Values } from "./series.ts";
import { bytes, count, milliseconds, moment, percent, perSecond, seconds } from "./wording.ts";

/** A number, and a line below it that says more. */
type Shown = readonly [string, string];

interface Tile {
  readonly label: string;
  readonly now: (snapshot: Snapshot) => Shown;
  /** It is undefined where nobody remembers it. */
  readonly then?: (values: Values) => Shown;
}

const TILES: readonly Tile[] = [
  {
    label: "Writes a second",
    now: (it) => [perSecond(it.writesPerSecond), latencyOf(it, "/write")],
    then: (it) => [perSecond(it.writesPerSecond), latency(it.writeP50Ms, it.writeP99Ms)],
  },
  {
    label: "Reads a second",
    now: (it) => [perSecond(it.readsPerSecond), latencyOf(it, "/read")],
    then: (it) => [perSecond(it.readsPerSecond), latency(it.readP50Ms, it.readP99Ms)],
  },
  {
    label: "Waiting for the store",
    now: ({ queue }) => [count(queue.depth), `the oldest for ${seconds(queue.oldestAgeSeconds)}`],
    then: (it) => [countOf(it.queueDepth), `the oldest for ${seconds(it.oldestAgeSeconds)}`],
  },
  {
    label: "Until the journal is full",
    now: ({ queue: { secondsUntilFull } }) =>
      secondsUntilFull === null
        ? ["not in sight", "it does not grow"]
        : [seconds(secondsUntilFull), "at the rate of the last minute"],
  },
  {
    label: "Journal",
    now: ({ instance: { role }, journal: { bytes: many, maxBytes, retainedBytes } }) =>
      role === "worker" ? ["none", "a worker keeps nothing"] : [
        bytes(many),
        `of ${bytes(maxBytes)}; ${bytes(retainedBytes)} stored and kept`,
      ],
    then: (it) => [it.journalBytes === null ? "–" : bytes(it.journalBytes), ""],
  },
  {
    label: "Fsync, p99",
    now: ({ journal: { fsync } }) => [
      milliseconds(fsync.p99Ms),
      `p50 ${milliseconds(fsync.p50Ms)}`,
    ],
    then: (it) => [milliseconds(it.fsyncP99Ms), ""],
  },
  {
    label: "Rows to the store a second",
    now: ({ flush }) => [perSecond(flush.rowsPerSecond), flushSize(flush)],
    then: (it) => [perSecond(it.flushRowsPerSecond), ""],
  },
  {
    label: "A flush takes, p99",
    now: ({ flush: { duration } }) => [
      milliseconds(duration.p99Ms),
      `p50 ${milliseconds(duration.p50Ms)}`,
    ],
    then: (it) => [milliseconds(it.flushP99Ms), ""],
  },
  {
    label: "Reads without the store",
    now: (it) => [percent(hitRatio(it.readsBySource)), "answered from memory or Redis"],
    then: (it) => [percent(it.hitRatio), "answered from memory or Redis"],
  },
  {
    label: "Dead letters",
    now: ({ deadLetters }) => [countOf(deadLetters.count), reasonsOf(deadLetters)],
  },
  {
    label: "The audit’s last word",
    now: ({ audit }) =>
      audit === null ? ["none yet", ""] : [
        `${count(audit.checked)} checked`,
        `${count(audit.lost)} lost, ${count(audit.doubled)} doubled` +
        (audit.atMs === null ? "" : `, ${moment(audit.atMs)}`),
      ],
  },
  {
    label: "State",
    now: ({ instance: { phase, isPaused } }) => [
      isPaused ? "paused" : phase,
      isPaused ? "nothing is brought to the store" : "",
    ],
  },
];

export class Tiles {
  readonly #list = byId("tiles", HTMLElement);
  readonly #elements = TILES.map(({ label }) => {
    const tile = document.createElement("div");
    const [name, value, more] = ["dt", "dd", "dd"].map((tag) => document.createElement(tag));
    setText(name!, label);
    tile.append(name!, value!, more!);
    this.#list.append(tile);
    return { value: value!, more: more! };
  });

  showNow(snapshot: Snapshot): void {
    this.#show(TILES.map(({ now }) => now(snapshot)));
  }

  showThen(values: Values): void {
    this.#show(TILES.map(({ then }) => then?.(values) ?? ["–", "not kept"]));
  }

  #show(all: readonly Shown[]): void {
    all.forEach(([value, more], at) => {
      setText(this.#elements[at]!.value, value);
      setText(this.#elements[at]!.more, more);
    });
  }
}

function countOf(many: number | null): string {
  return many === null ? "–" : count(many);
}

function reasonsOf({ count: many, reasons }: Snapshot["deadLetters"]): string {
  if (many === null) return "the store cannot be asked now";
  return reasons.slice(0, 3).map(({ code, count: of }) => `${count(of)} × ${code}`).join(", ");
}

function latencyOf({ requests }: Snapshot, route: string): string {
  const found = requests.find((each) => each.route === route);
  return latency(found?.p50Ms ?? null, found?.p99Ms ?? null);
}

function latency(p50Ms: number | null, p99Ms: number | null): string {
  return `p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}`;
}

function flushSize({ meanRows, failedRowsPerSecond }: Snapshot["flush"]): string {
  const size = meanRows === null ? "no flush just now" : `${count(meanRows)} a flush`;
  return failedRowsPerSecond > 0 ? `${size}; ${perSecond(failedRowsPerSecond)} failed` : size;
}
