/** Shows the last hour: charts, a strip of how it stood, and a slider to look back with. */
import { Chart, type ChartOptions } from "./chart.ts";
import { byId, setText } from "./dom.ts";
import { HOUR_MS, type Moment, type Series } from "./series.ts";
import { bytes, count, milliseconds, percent, perSecond, seconds, timeOfDay } from "./wording.ts";

const CHARTS: readonly ChartOptions[] = [
  {
    title: "Writes and reads a second",
    lines: [{ column: "writesPerSecond", name: "writes" }, {
      column: "readsPerSecond",
      name: "reads",
    }],
    format: perSecond,
    tick: plainTick,
  },
  {
    title: "Latency of writes",
    lines: [{ column: "writeP50Ms", name: "p50" }, { column: "writeP99Ms", name: "p99" }],
    format: milliseconds,
    tick: millisecondsTick,
  },
  {
    title: "Latency of reads",
    lines: [{ column: "readP50Ms", name: "p50" }, { column: "readP99Ms", name: "p99" }],
    format: milliseconds,
    tick: millisecondsTick,
  },
  {
    title: "Waiting for the store",
    lines: [{ column: "queueDepth", name: "writes" }],
    format: count,
    tick: count,
  },
  {
    title: "The oldest that waits",
    lines: [{ column: "oldestAgeSeconds", name: "age" }],
    format: seconds,
    tick: secondsTick,
  },
  {
    title: "Rows to the store a second",
    lines: [{ column: "flushRowsPerSecond", name: "rows" }],
    format: perSecond,
    tick: plainTick,
  },
  {
    title: "Flush and fsync, p99",
    lines: [{ column: "flushP99Ms", name: "flush" }, { column: "fsyncP99Ms", name: "fsync" }],
    format: milliseconds,
    tick: millisecondsTick,
  },
  {
    title: "Reads without the store",
    lines: [{ column: "hitRatio", name: "share" }],
    format: percent,
    tick: percentTick,
  },
  {
    title: "Journal",
    lines: [{ column: "journalBytes", name: "in use" }],
    format: bytes,
    tick: bytes,
  },
];

function plainTick(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

function millisecondsTick(value: number): string {
  return `${plainTick(value)} ms`;
}

function secondsTick(value: number): string {
  return `${plainTick(value)} s`;
}

function percentTick(value: number): string {
  return `${Math.round(value * 100)} %`;
}

const HOUR_S = HOUR_MS / 1000;
const LEVEL_COLOURS = { well: "--well", warning: "--second", problem: "--serious" } as const;

export class Hour {
  readonly #slider = byId("moment", HTMLInputElement);
  readonly #momentText = byId("moment-text", HTMLElement);
  readonly #backToLive = byId("back-to-live", HTMLButtonElement);
  readonly #charts = CHARTS.map((options) => new Chart(options));
  readonly #strip = document.createElement("canvas");
  /** It is undefined while the page is live. */
  #atMs: number | undefined;

  /** @param onMoment is called when another moment is looked at; undefined: now */
  constructor(
    private readonly series: Series,
    private readonly onMoment: (moment: Moment | undefined) => void,
  ) {
    byId("charts", HTMLElement).append(...this.#charts.map(({ element }) => element));
    byId("levels", HTMLElement).append(this.#strip);
    this.#slider.addEventListener("input", () => this.#look(this.#slider.valueAsNumber));
    this.#backToLive.addEventListener("click", () => {
      this.#look(HOUR_S);
      this.#slider.focus();
    });
    new ResizeObserver(() => this.#charts.forEach((chart) => chart.fit()))
      .observe(byId("charts", HTMLElement));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#charts.forEach((chart) => chart.redraw());
      this.#drawLevels();
    });
  }

  get isLive(): boolean {
    return this.#atMs === undefined;
  }

  show(): void {
    const atS = this.series.moments.map(({ atMs }) => atMs / 1000);
    this.#charts.forEach((chart, at) => {
      chart.show(atS, this.series.columns(CHARTS[at]!.lines.map(({ column }) => column)));
    });
    this.#drawLevels();
    // A moment that is looked at wanders to the left, as the hour goes on.
    if (this.#atMs !== undefined) {
      this.#slider.value = String(HOUR_S - (this.#newestMs - this.#atMs) / 1000);
    }
    this.#tellMoment();
  }

  get #newestMs(): number {
    return this.series.moments.at(-1)?.atMs ?? Date.now();
  }

  /** @param second of the hour; the last one is now */
  #look(second: number): void {
    const wasLive = this.isLive;
    this.#atMs = second >= HOUR_S ? undefined : this.#newestMs - (HOUR_S - second) * 1000;
    if (this.isLive) this.#slider.value = String(HOUR_S);
    if (!this.isLive || !wasLive) this.onMoment(this.#moment);
    const markedS = this.#moment === undefined ? undefined : this.#moment.atMs / 1000;
    this.#charts.forEach((chart) => chart.mark(markedS));
    this.#tellMoment();
  }

  get #moment(): Moment | undefined {
    return this.#atMs === undefined ? undefined : this.series.at(this.#atMs);
  }

  #tellMoment(): void {
    const text = describe(this.#moment);
    this.#backToLive.disabled = this.isLive;
    setText(this.#momentText, text);
    this.#slider.setAttribute("aria-valuetext", text);
  }

  #drawLevels(): void {
    const { moments } = this.series;
    const canvas = this.#strip;
    const context = canvas.getContext("2d");
    if (context === null) return;
    [canvas.width, canvas.height] = [HOUR_S, 1];
    const style = getComputedStyle(document.documentElement);
    const fromMs = this.#newestMs - HOUR_MS;
    moments.forEach(({ atMs, level }, at) => {
      if (level === null) return;
      const nextMs = moments[at + 1]?.atMs ?? atMs + 1000;
      context.fillStyle = style.getPropertyValue(LEVEL_COLOURS[level]).trim();
      context.fillRect((atMs - fromMs) / 1000, 0, Math.max(1, (nextMs - atMs) / 1000), 1);
    });
    setText(byId("levels-text", HTMLElement), describeHour(moments));
  }
}

function describe(moment: Moment | undefined): string {
  if (moment === undefined) return "live";
  const { atMs, level, text } = moment;
  return `${timeOfDay(atMs)}: ${text ?? LEVEL_WORDS[level ?? "unknown"]}`;
}

const LEVEL_WORDS = {
  well: "all was well",
  warning: "there was a warning",
  problem: "there was a problem",
  unknown: "nothing is known",
} as const;

/** Says the strip in words. */
function describeHour(moments: readonly Moment[]): string {
  const spentMs = { well: 0, warning: 0, problem: 0 };
  moments.forEach(({ atMs, level }, at) => {
    const nextMs = moments[at + 1]?.atMs;
    if (level !== null && nextMs !== undefined) spentMs[level] += nextMs - atMs;
  });
  if (moments.length === 0) return "Nothing is known yet.";
  const [well, warning, problem] = [spentMs.well, spentMs.warning, spentMs.problem]
    .map((ms) => seconds(ms / 1000));
  return `Since ${timeOfDay(moments[0]!.atMs)}: well for ${well}, with a warning for ${warning}, ` +
    `with a problem for ${problem}.`;
}
