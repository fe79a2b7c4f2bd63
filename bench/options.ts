/** The command line of the benchmarks. */
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import type { GroupName } from "./groups/names.ts";
import { RESULTS } from "./result.ts";

export interface Options {
  readonly groups: readonly GroupName[];
  /** How many are counted, after one that warms up. */
  readonly rounds: number;
  /** How long each load lasts. */
  readonly seconds: number;
  /** Where the service is started from. */
  readonly checkout: string;
  /** Further sides, each as NAME=URL,TEMPLATE. */
  readonly others: readonly string[];
  readonly out: string;
  readonly connections: readonly number[];
  /** Sizes of `user_data`. */
  readonly rows: readonly number[];
  /** Sizes of a backlog. */
  readonly records: readonly number[];
}

const ROUNDS_MIN = 5;

export const USAGE = `deno task bench [GROUP …] [options]
  GROUP                writes, reads, drain, latency, growth, memory, start; all unless given
  --rounds N           rounds counted, after one that warms up (5)
  --seconds S          how long each load lasts (4)
  --checkout DIR       measure the service of another checkout of this project
  --side NAME=URL,FILE another service that runs already, asked as FILE says; any number of them
  --connections LIST   connections of wrk (64,256)
  --rows LIST          sizes of user_data in growth (1000,1000000,20000000)
  --records LIST       sizes of a backlog (1000000,10000000)
  --out DIR            where results go (bench/results, which the documentation shows)
`;

/** @throws Error on what cannot be meant */
export function parseOptions(args: readonly string[], groups: readonly GroupName[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: `${ROUNDS_MIN}` },
      seconds: { type: "string", default: "4" },
      checkout: {
        type: "string",
        default: fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, ""),
      },
      side: { type: "string", multiple: true, default: [] },
      connections: { type: "string", default: "64,256" },
      rows: { type: "string", default: "1000,1000000,20000000" },
      records: { type: "string", default: "1000000,10000000" },
      out: { type: "string", default: RESULTS },
    },
  });
  const unknown = positionals.filter((name) => !(groups as readonly string[]).includes(name));
  if (unknown.length > 0) {
    throw new Error(`No group ${unknown.join(", ")}; there are ${groups.join(", ")}`);
  }
  return {
    groups: positionals.length > 0 ? positionals as GroupName[] : groups,
    rounds: positive("rounds", values.rounds),
    seconds: positive("seconds", values.seconds),
    checkout: values.checkout,
    others: values.side,
    out: values.out,
    connections: list("connections", values.connections),
    rows: list("rows", values.rows),
    records: list("records", values.records),
  };
}

function list(name: string, text: string): number[] {
  return text.split(",").map((part) => positive(name, part));
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`--${name} ${text} must be a whole number of 1 or more`);
}
