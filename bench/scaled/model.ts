/** Holds the capacity model of docs/scaling.md against two and three real API servers. */
import { cpus } from "node:os";
import type { EngineName } from "../../tests/scaled/engines.ts";
import { print } from "../print.ts";
import { costOf } from "./cost.ts";

const CONNECTIONS = 64;

/** @returns a row for each number of API servers */
export async function measureModel(
  engine: EngineName,
): Promise<readonly (readonly (string | number)[])[]> {
  const rows: (string | number)[][] = [];
  for (const servers of [1, 2, 3]) {
    const each = Math.floor(CONNECTIONS / servers);
    const one = await costOf(engine, 1, each);
    const predicted = predictedPerSecond(one, servers);
    const { perSecond, microseconds } = await costOf(engine, servers, each);
    print(
      `model: ${engine} × ${servers}: one ${one.perSecond.toFixed(0)} at ` +
        `${one.microseconds.toFixed(1)} µs, predicted ${predicted.toFixed(0)}, ` +
        `measured ${perSecond.toFixed(0)} at ${microseconds.toFixed(1)} µs`,
    );
    rows.push([
      engine,
      servers,
      one.perSecond.toFixed(0),
      one.microseconds.toFixed(0),
      predicted.toFixed(0),
      perSecond.toFixed(0),
      (perSecond / predicted).toFixed(2),
    ]);
  }
  return rows;
}

/**
 * An API server by itself takes what one took here; all of them, with everything else on this
 * machine, take no more than its processors have.
 */
function predictedPerSecond(
  { perSecond, microseconds }: { readonly perSecond: number; readonly microseconds: number },
  servers: number,
): number {
  return Math.min(servers * perSecond, cpus().length * 1e6 / microseconds);
}
