/** Renders the manifests as `kubectl apply -k` does, and finds its way about them. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments } from "yaml";
import { installed } from "../support/installed.ts";
import { output } from "../support/services.ts";
import type { Resource } from "./schemas.ts";
import type { Settings } from "./settings.ts";

export const FOLDER = new URL("../../deploy/kubernetes/", import.meta.url);

/** Its `kustomize` reads lists of resources since 1.21. */
const KUBECTL = { names: ["kubectl"], folders: [], aptPackage: "kubernetes-client" } as const;

type Labels = Readonly<Record<string, string>>;

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly periodSeconds: number;
  readonly failureThreshold?: number;
}

export interface Container {
  readonly image: string;
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly envFrom: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly resources: { readonly limits: { readonly memory: string } };
  readonly securityContext: unknown;
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly automountServiceAccountToken: boolean;
  readonly enableServiceLinks: boolean;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly topologySpreadConstraints: readonly {
    readonly labelSelector: { readonly matchLabels: Labels };
  }[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string; readonly secret?: { secretName: string } }[];
}

export interface Workload extends Resource {
  readonly spec: {
    readonly replicas?: number;
    readonly serviceName?: string;
    readonly podManagementPolicy?: string;
    readonly updateStrategy?: { readonly type: string };
    readonly persistentVolumeClaimRetentionPolicy?: unknown;
    readonly selector: { readonly matchLabels: Labels };
    readonly template: { readonly metadata: { readonly labels: Labels }; readonly spec: PodSpec };
    readonly volumeClaimTemplates?: readonly {
      readonly metadata: { readonly name: string };
      readonly spec: { readonly resources: { readonly requests: { readonly storage: string } } };
    }[];
  };
}

export async function render(overlay: string): Promise<Resource[]> {
  const kubectl = await installed(KUBECTL);
  const text = await output(kubectl, ["kustomize", fileURLToPath(new URL(overlay, FOLDER))]);
  return parseAllDocuments(text).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as Resource;
  });
}

export async function readManifest(name: string): Promise<unknown> {
  return parse(await Deno.readTextFile(new URL(name, FOLDER)));
}

export function find<T extends Resource>(
  resources: readonly Resource[],
  kind: string,
  name: string,
): T {
  const found = resources.find((each) => each.kind === kind && each.metadata.name === name);
  assert.ok(found, `${kind} ${name}`);
  return found as T;
}

export function workloads(resources: readonly Resource[]): Workload[] {
  return resources.filter(({ kind }) => kind === "StatefulSet" || kind === "Deployment")
    .map((resource) => resource as Workload);
}

export function containerOf({ spec: { template } }: Workload): Container {
  const [container, ...others] = template.spec.containers;
  assert.ok(container !== undefined && others.length === 0);
  return container;
}

/** Returns the environment of a container; its own variables win over those of the ConfigMap. */
export function settingsOf(resources: readonly Resource[], container: Container): Settings {
  const shared = container.envFrom.map(({ configMapRef: { name } }) =>
    find<Resource & { data: Settings }>(resources, "ConfigMap", name).data
  );
  const own = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
  return Object.assign({}, ...shared, own);
}

/** Says whether a selector picks the pods of a workload. */
export function selects(labels: Labels, { spec: { template } }: Workload): boolean {
  return Object.entries(labels).every(([name, value]) => template.metadata.labels[name] === value);
}
