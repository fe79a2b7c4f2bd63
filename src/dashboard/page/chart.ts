/** Draws one chart of the last hour, with what it shows as a line of text. */
import uPlot from "uplot";
import type { Column } from "./series.ts";
import { timeOfDay } from "./wording.ts";

export interface Line {
  readonly column: Column;
  readonly name: string;
}

export interface ChartOptions {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  /** As {@link format}, shorter; it stands beside the axis. */
  readonly tick: (value: number) => string;
}

const HEIGHT_PX = 130;
const COLOURS = ["--first", "--second", "--third", "--fourth"];

export class Chart {
  readonly element = document.createElement("figure");
  readonly #text = document.createElement("span");
  readonly #place = document.createElement("div");
  #plot: uPlot | undefined;
  #data: uPlot.AlignedData = [[]];
  #markedS: number | undefined;

  constructor(private readonly options: ChartOptions) {
    const caption = document.createElement("figcaption");
    caption.append(options.title, this.#text);
    this.#place.className = "chart";
    // The caption says the same in words.
    this.#place.setAttribute("aria-hidden", "true");
    this.element.append(caption, this.#place);
  }

  /** @param atS times in seconds */
  show(atS: readonly number[], values: readonly (readonly (number | null)[])[]): void {
    this.#data = [[...atS], ...values.map((column) => [...column])];
    this.#text.textContent = this.options.lines
      .map(({ name }, at) => summary(name, atS, values[at]!, this.options.format)).join("; ");
    if (this.#plot === undefined) this.redraw();
    else this.#plot.setData(this.#data);
  }

  /** @param atS undefined: none is marked */
  mark(atS: number | undefined): void {
    this.#markedS = atS;
    this.#plot?.redraw();
  }

  /** Draws it anew, in the colours and the width of now. */
  redraw(): void {
    this.#plot?.destroy();
    const width = this.#place.clientWidth;
    this.#plot = width === 0
      ? undefined
      : new uPlot(this.#plotOptions(width), this.#data, this.#place);
  }

  fit(): void {
    const width = this.#place.clientWidth;
    if (width > 0 && this.#plot?.width !== width) this.#plot?.setSize({ width, height: HEIGHT_PX });
  }

  #plotOptions(width: number): uPlot.Options {
    const [soft, line] = [colour("--soft"), colour("--line")];
    const axis = {
      stroke: soft,
      grid: { stroke: line, width: 1 },
      ticks: { stroke: line, width: 1 },
    };
    return {
      width,
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        {
          ...axis,
          space: 80,
          values: (_plot, splits) => splits.map((atS) => timeTick(atS, splits)),
        },
        { ...axis, size: 76, values: (_plot, splits) => splits.map(this.options.tick) },
      ],
      series: [
        {},
        ...this.options.lines.map(({ name }, at) => ({
          label: name,
          stroke: colour(COLOURS[at]!),
          width: 1.5,
          // Told apart by more than the colour.
          ...(at > 0 && { dash: [6, 2 + 2 * at] }),
          points: { show: false },
        })),
      ],
      hooks: { draw: [(plot) => this.#drawMark(plot)] },
    };
  }

  #drawMark(plot: uPlot): void {
    if (this.#markedS === undefined) return;
    const { ctx, bbox } = plot;
    const x = plot.valToPos(this.#markedS, "x", true);
    ctx.save();
    ctx.strokeStyle = colour("--text");
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The seconds are told where the times would be the same without them. */
function timeTick(atS: number, all: readonly number[]): string {
  const time = timeOfDay(atS * 1000);
  return (all[1] ?? 0) - (all[0] ?? 0) < 60 ? time : time.slice(0, 5);
}

function summary(
  name: string,
  atS: readonly number[],
  values: readonly (number | null)[],
  format: (value: number) => string,
): string {
  let most = -1;
  values.forEach((value, at) => {
    if (value !== null && (most < 0 || value > values[most]!)) most = at;
  });
  if (most < 0) return `${name}: nothing`;
  const last = values.at(-1) ?? null;
  const now = last === null ? "nothing" : format(last);
  return `${name}: ${now}, at most ${format(values[most]!)} at ${timeOfDay(atS[most]! * 1000)}`;
}
