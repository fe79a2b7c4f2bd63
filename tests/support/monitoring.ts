/** The rules, alerts and the board that are deployed, as tests read them. */
import { parse } from "yaml";

const DEPLOY = new URL("../../deploy/", import.meta.url);

export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly datasource: { readonly uid: string };
  }[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
}

export interface Board {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

export async function deployed(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, DEPLOY));
}

export async function readRules(): Promise<readonly Rule[]> {
  const { groups } = parse(await deployed("prometheus/dsproxy.rules.yml")) as {
    groups: { rules: Rule[] }[];
  };
  return groups.flatMap(({ rules }) => rules);
}

export async function readBoard(): Promise<Board> {
  return JSON.parse(await deployed("grafana/dashboards/dsproxy.json"));
}

/** The expressions of a board as Grafana sends them when all jobs and instances are shown. */
export function expressionsOf({ panels, annotations }: Board): readonly string[] {
  const targets = panels.flatMap((panel) => panel.targets ?? []);
  return [...targets, ...annotations.list].map(({ expr }) =>
    expr.replaceAll(/\$(job|instance)\b/g, ".*").replaceAll(/\$__(rate_interval|range)\b/g, "5m")
  );
}
