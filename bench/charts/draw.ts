/**
 * Draws kept results as SVG: bars of a group's figures, and lines of what grows along an axis. It
 * is a program with a `deno.json` and a lock of its own: `deno compile` takes every package of the
 * project's lock into the executable, and this one would make it half again as large.
 *
 * Arguments: JSON files of results, each of which is drawn into its folder. Prints the names of the
 * charts as JSON, a list for each file.
 */
import * as echarts from "echarts";
import type { Figure, Result } from "../figures.ts";
import { digitsFor, median } from "../statistics.ts";

/** Greys and colours that can be read on a white page and on a dark one. */
const INK = "#7d8590";
const GRID = "#7d859040";
const COLOURS = ["#2f81f7", "#d29922", "#3fb950", "#db61a2", "#a371f7", "#f0883e"];
const FONT = "system-ui, sans-serif";
const WIDTH = 860;
const BAR_HEIGHT = 26;
const LINES_HEIGHT = 340;

interface Chart {
  /** The file's name without its ending. */
  readonly name: string;
  readonly svg: string;
}

function chartsOf(result: Result): Chart[] {
  const { group, figures } = result;
  const charts: Chart[] = [];
  const bars = Object.values(
    Object.groupBy(
      figures.filter(({ plot }) => plot === undefined),
      ({ unit, of = "" }) => `${unit} ${of}`,
    ),
  ) as Figure[][];
  for (const [i, some] of bars.entries()) {
    const name = i === 0 ? group : `${group}-${fileName(some[0]!.of ?? some[0]!.unit)}`;
    charts.push({ name, svg: draw(barChart(some), 70 + BAR_HEIGHT * some.length) });
  }
  for (
    const chart of new Set(figures.flatMap(({ plot }) => plot === undefined ? [] : [plot.chart]))
  ) {
    const points = figures.filter(({ plot }) => plot?.chart === chart);
    charts.push({
      name: `${group}-${fileName(chart)}`,
      svg: draw(lineChart(chart, points), LINES_HEIGHT),
    });
  }
  return charts;
}

function fileName(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
}

function draw(option: echarts.EChartsOption, height: number): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  chart.setOption({
    animation: false,
    color: COLOURS,
    textStyle: { color: INK, fontFamily: FONT },
    legend: { bottom: 0, textStyle: { color: INK }, itemHeight: 10 },
    ...option,
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

const axisStyle = {
  axisLabel: { color: INK },
  axisLine: { lineStyle: { color: INK } },
  splitLine: { lineStyle: { color: GRID } },
  nameTextStyle: { color: INK },
};

/** Medians as bars, least to most as whiskers, targets as diamonds. */
function barChart(figures: readonly Figure[]): echarts.EChartsOption {
  const { unit, of } = figures[0]!;
  return {
    grid: { left: 56, right: 32, top: 8, bottom: 48, containLabel: true },
    xAxis: {
      type: "value",
      name: of === undefined ? unit : `${unit} ${of}`,
      nameLocation: "middle",
      nameGap: 24,
      ...axisStyle,
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: figures.map(({ name, rounds }) => `${name}   ${rounded(median(rounds))}`),
      ...axisStyle,
      axisLabel: { color: INK, fontSize: 11, width: 430, overflow: "truncate" },
    },
    series: [
      {
        name: "median",
        type: "bar",
        barWidth: 12,
        data: figures.map(({ rounds }) => rounded(median(rounds))),
      },
      {
        name: "least to most",
        type: "custom",
        itemStyle: { color: INK },
        renderItem: whisker,
        encode: { x: [1, 2], y: 0 },
        data: figures.map(({ rounds }, i) => [i, Math.min(...rounds), Math.max(...rounds)]),
      },
      {
        name: "target",
        type: "scatter",
        symbol: "diamond",
        symbolSize: 11,
        itemStyle: { color: COLOURS[1]! },
        data: figures.flatMap(({ target }, i) => {
          const value = target?.atLeast ?? target?.atMost;
          return value === undefined ? [] : [[value, i]];
        }),
      },
    ],
  };
}

const whisker: echarts.CustomSeriesRenderItem = (_, api) => {
  const [fromX, y] = api.coord([api.value(1), api.value(0)]) as [number, number];
  const [toX] = api.coord([api.value(2), api.value(0)]) as [number, number];
  const style = { stroke: INK, lineWidth: 1.5 };
  const line = (x1: number, y1: number, x2: number, y2: number) => ({
    type: "line" as const,
    shape: { x1, y1, x2, y2 },
    style,
  });
  return {
    type: "group",
    children: [
      line(fromX, y, toX, y),
      line(fromX, y - 4, fromX, y + 4),
      line(toX, y - 4, toX, y + 4),
    ],
  };
};

function lineChart(name: string, figures: readonly Figure[]): echarts.EChartsOption {
  const { unit, of } = figures[0]!;
  const places = [...new Set(figures.map(({ plot }) => plot!.at))];
  const lines = [...new Set(figures.map(({ plot }) => plot!.line))];
  return {
    title: { text: name, textStyle: { color: INK, fontSize: 14, fontFamily: FONT } },
    grid: { left: 48, right: 24, top: 56, bottom: 64 },
    xAxis: { type: "category", data: places, ...axisStyle },
    yAxis: {
      type: "value",
      name: of === undefined ? unit : `${unit} ${of}`,
      ...axisStyle,
      nameTextStyle: { color: INK, align: "left" },
    },
    series: lines.map((line) => ({
      name: line,
      type: "line",
      symbolSize: 7,
      data: places.map((place) => {
        const found = figures.find(({ plot }) => plot!.line === line && plot!.at === place);
        return found === undefined ? null : rounded(median(found.rounds));
      }),
    })),
  };
}

function rounded(value: number): number {
  return Number(value.toFixed(digitsFor([value])));
}

const names = Deno.args.map((file) => {
  const charts = chartsOf(JSON.parse(Deno.readTextFileSync(file)) as Result);
  const folder = file.slice(0, file.lastIndexOf("/"));
  for (const { name, svg } of charts) Deno.writeTextFileSync(`${folder}/${name}.svg`, svg);
  return charts.map(({ name }) => name);
});
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(names)));
