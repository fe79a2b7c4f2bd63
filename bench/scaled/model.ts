/** Holds the capacity model of docs/scaling.md against two and three real API servers. */
import { cpus } from "node:os";
import type { EngineName } from "../../tests/scaled/engines.ts";
import { print } from "../print.ts";
import { costOf } from "./cost.ts";

/** @returns a row for each number of API servers */
export async function measureModel(
  engine: EngineName,
): Promise<readonly (readonly (string | number)[])[]> {
  const one = await costOf(engine, 1);
  const rows: (string | number)[][] = [];
  for (const servers of [1, 2, 3]) {
    const predicted = predictedPerSecond(one, servers);
    const { perSecond } = await costOf(engine, servers);
    print(`model: ${engine} × ${servers}: ${predicted.toFixed(0)}, ${perSecond.toFixed(0)}`);
    rows.push([
      engine,
      servers,
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
