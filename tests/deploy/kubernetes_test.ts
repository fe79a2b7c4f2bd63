import assert from "node:assert/strict";
import { sizeBytes } from "../../src/config/parsers.ts";
import { ROUTES } from "../../src/http/routes.ts";
import { VERSION } from "../../src/version.ts";
import { idleMetrics } from "../support/fakes.ts";
import {
  containerOf,
  find,
  FOLDER,
  readManifest,
  render,
  selects,
  settingsOf,
  type Workload,
  workloads,
} from "./kubernetes.ts";
import { kubernetesProblems, type Resource } from "./schemas.ts";
import { isPinned, judge } from "./settings.ts";

/** The oldest one that knows all that is used, and the newest one there are schemas of. */
const VERSIONS = ["1.30", "1.37"];
const OVERLAYS = ["rabbitmq", "kafka"] as const;
const SECRETS_AT = "/run/secrets/dsproxy";
const COMPONENTS = { "dsproxy-api": "api", "dsproxy-worker": "worker" };

interface Selecting extends Resource {
  readonly spec: {
    readonly selector?: Readonly<Record<string, unknown>>;
    readonly podSelector?: unknown;
    readonly maxUnavailable?: number;
  };
}

interface Autoscaler extends Resource {
  readonly spec: {
    readonly scaleTargetRef: { readonly kind: string; readonly name: string };
    readonly minReplicas: number;
    readonly maxReplicas: number;
    readonly metrics: readonly {
      readonly external: { readonly metric: { readonly name: string } };
    }[];
  };
}

function bytes(quantity: string): number {
  return sizeBytes(1, Number.MAX_SAFE_INTEGER)(`${quantity}B`);
}

async function judged(resources: readonly Resource[], workload: Workload) {
  const { stringData } = await readManifest("secret.example.yaml") as { stringData: object };
  const container = containerOf(workload);
  const mount = container.volumeMounts.find(({ mountPath }) => mountPath === SECRETS_AT);
  const volume = workload.spec.template.spec.volumes.find(({ name }) => name === mount?.name);
  assert.equal(volume?.secret?.secretName, "dsproxy");
  const isThere = (path: string) =>
    path.startsWith(`${SECRETS_AT}/`) && path.slice(SECRETS_AT.length + 1) in stringData;
  return judge(settingsOf(resources, container), isThere);
}

for (const overlay of OVERLAYS) {
  for (const version of VERSIONS) {
    Deno.test(`the manifests with ${overlay} are what Kubernetes ${version} knows`, async () => {
      const resources = await render(overlay);
      assert.ok(resources.length >= 10);
      const problems = await Promise.all(
        resources.map((resource) => kubernetesProblems(resource, version)),
      );
      assert.deepEqual(problems.flat(), []);
    });
  }

  Deno.test(`the manifests with ${overlay} configure everybody as the service wants it`, async () => {
    const resources = await render(overlay);
    const roles = [];
    for (const workload of workloads(resources)) {
      const { name } = workload.metadata;
      const { problems, config } = await judged(resources, workload);
      assert.deepEqual(problems, [], name);
      assert.equal(config?.queue.kind, overlay, name);
      assert.equal(config?.store.kind, "postgres", name);
      roles.push([name, config?.role]);
      const port = containerOf(workload).ports.find(({ name }) => name === "http");
      assert.equal(port?.containerPort, config?.listen.port, name);
    }
    assert.deepEqual(Object.fromEntries(roles), COMPONENTS);
  });

  Deno.test(`the manifests with ${overlay} keep every journal on a volume of its own`, async () => {
    const resources = await render(overlay);
    const api = find<Workload>(resources, "StatefulSet", "dsproxy-api");
    const { config } = await judged(resources, api);
    const [claim, ...others] = api.spec.volumeClaimTemplates ?? [];
    assert.ok(claim !== undefined && others.length === 0 && config !== undefined);
    const mount = containerOf(api).volumeMounts.find(({ name }) => name === claim.metadata.name);
    assert.ok(config.dataDir.startsWith(`${mount?.mountPath}/`), config.dataDir);
    const room = bytes(claim.spec.resources.requests.storage);
    assert.ok(room >= 1.2 * config.journal.maxBytes, "the volume is larger than the journal");
    assert.deepEqual(api.spec.persistentVolumeClaimRetentionPolicy, {
      whenDeleted: "Retain",
      whenScaled: "Retain",
    });
    assert.equal(api.spec.podManagementPolicy, "Parallel");
    assert.equal(api.spec.updateStrategy?.type, "RollingUpdate");
    const headless = find<Selecting>(resources, "Service", api.spec.serviceName ?? "");
    assert.ok(selects(headless.spec.selector as Record<string, string>, api));
    const worker = find<Workload>(resources, "Deployment", "dsproxy-worker");
    assert.equal(worker.spec.volumeClaimTemplates, undefined);
  });

  Deno.test(`the manifests with ${overlay} end nobody before the drain is over`, async () => {
    const resources = await render(overlay);
    for (const workload of workloads(resources)) {
      const { config } = await judged(resources, workload);
      const { terminationGracePeriodSeconds } = workload.spec.template.spec;
      const beforeMs = (containerOf(workload).lifecycle?.preStop.sleep.seconds ?? 0) * 1_000;
      assert.ok(config !== undefined);
      assert.ok(
        terminationGracePeriodSeconds * 1_000 >= beforeMs + config.shutdownGraceMs + 5_000,
        workload.metadata.name,
      );
    }
  });

  Deno.test(`the manifests with ${overlay} probe routes that there are`, async () => {
    for (const workload of workloads(await render(overlay))) {
      const container = containerOf(workload);
      const { startupProbe, livenessProbe, readinessProbe } = container;
      for (const { httpGet } of [startupProbe, livenessProbe, readinessProbe]) {
        assert.ok(ROUTES.some((route) => route.method === "GET" && route.path === httpGet.path));
        assert.ok(container.ports.some(({ name }) => name === httpGet.port));
      }
      assert.equal(readinessProbe.httpGet.path, "/readyz");
      // One that is not ready has its reasons: to start it anew would mend nothing.
      assert.equal(livenessProbe.httpGet.path, "/livez");
      assert.equal(startupProbe.httpGet.path, "/livez");
    }
    const api = find<Workload>(await render(overlay), "StatefulSet", "dsproxy-api");
    const { periodSeconds, failureThreshold = 3 } = containerOf(api).startupProbe;
    assert.ok(periodSeconds * failureThreshold >= 300, "a long journal may take minutes");
  });

  Deno.test(`the manifests with ${overlay} give no rights that are not needed`, async () => {
    for (const workload of workloads(await render(overlay))) {
      const { spec } = workload.spec.template;
      const { image, securityContext, resources } = containerOf(workload);
      assert.equal(image, `dsproxy:${VERSION}`);
      assert.ok(isPinned(image));
      assert.equal(spec.securityContext.runAsNonRoot, true);
      assert.deepEqual(spec.securityContext.seccompProfile, { type: "RuntimeDefault" });
      assert.deepEqual(securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
      assert.equal(spec.automountServiceAccountToken, false);
      assert.equal(spec.enableServiceLinks, false, "a Service may be called proxy or redis");
      assert.ok(bytes(resources.limits.memory) >= 640 * 1024 ** 2, "limits.md says 512 MB");
    }
  });

  Deno.test(`the manifests with ${overlay} select pods that there are`, async () => {
    const resources = await render(overlay);
    const made = workloads(resources);
    const matching = (kind: string, labels: (resource: Selecting) => unknown) => {
      const found = resources.filter((each) => each.kind === kind) as Selecting[];
      return found.map((each) => {
        const wanted = labels(each) as Record<string, string>;
        assert.ok(Object.keys(wanted).length > 0, each.metadata.name);
        const names = made.filter((workload) => selects(wanted, workload)).map((workload) =>
          workload.metadata.name
        );
        assert.equal(names.length, 1, `${kind} ${each.metadata.name}`);
        return names[0];
      }).sort();
    };
    const both = ["dsproxy-api", "dsproxy-worker"];
    const services = matching("Service", ({ spec }) => spec.selector);
    assert.deepEqual(services, ["dsproxy-api", ...both]);
    assert.deepEqual(
      matching("PodDisruptionBudget", ({ spec }) => spec.selector?.matchLabels),
      both,
    );
    const policies = matching(
      "NetworkPolicy",
      ({ spec }) => (spec.podSelector as { matchLabels: unknown }).matchLabels,
    );
    assert.deepEqual(policies, both);
    for (const { spec: { selector, template }, metadata: { labels } } of made) {
      assert.deepEqual(selector.matchLabels, template.metadata.labels);
      assert.deepEqual(selector.matchLabels, labels);
      const spread = template.spec.topologySpreadConstraints;
      assert.equal(spread.length, 2);
      for (const each of spread) assert.deepEqual(each.labelSelector, selector);
    }
  });

  Deno.test(`the manifests with ${overlay} scale workers by a metric that there is`, async () => {
    const resources = await render(overlay);
    const { spec } = find<Autoscaler>(resources, "HorizontalPodAutoscaler", "dsproxy-worker");
    const { kind, name } = spec.scaleTargetRef;
    const worker = find<Workload>(resources, kind, name);
    assert.equal(worker.spec.replicas, undefined, "else each apply would set it back");
    assert.ok(spec.minReplicas >= 2);
    const [metric] = spec.metrics;
    const { text } = await idleMetrics().expose(false);
    assert.ok(text.includes(`# TYPE ${metric?.external.metric.name} gauge\n`));
    const { config } = await judged(resources, worker);
    if (config?.queue.kind !== "kafka") return;
    assert.ok(spec.maxReplicas <= config.queue.partitions, "the others would be given nothing");
  });
}

Deno.test("every manifest of the base is named by its kustomization", async () => {
  const { resources } = await readManifest("base/kustomization.yaml") as { resources: string[] };
  const files = await Array.fromAsync(Deno.readDir(new URL("base", FOLDER)));
  const manifests = files.map(({ name }) => name).filter((name) => name !== "kustomization.yaml");
  assert.deepEqual(manifests.toSorted(), resources.toSorted());
});

Deno.test("the example of a secret is one, and has no secret in it", async () => {
  const secret = await readManifest("secret.example.yaml") as Resource & {
    stringData: Record<string, string>;
  };
  assert.deepEqual(await kubernetesProblems(secret, "1.37"), []);
  for (const [key, value] of Object.entries(secret.stringData)) {
    assert.match(value.trim(), /PASSWORD|^-----BEGIN CERTIFICATE-----$/, key);
  }
});

Deno.test("a mistake in a manifest is found", async () => {
  const resources = await render("rabbitmq");
  const found = async (kind: string, name: string, find_: string, mistake: string) => {
    const text = JSON.stringify(find(resources, kind, name));
    assert.ok(text.includes(find_), find_);
    const problems = await Promise.all(
      VERSIONS.map((version) =>
        kubernetesProblems(JSON.parse(text.replace(find_, mistake)), version)
      ),
    );
    assert.ok(problems.every((each) => each.length > 0), `${mistake} goes unnoticed`);
  };
  await found("StatefulSet", "dsproxy-api", '"readinessProbe"', '"readynessProbe"');
  await found("StatefulSet", "dsproxy-api", '"periodSeconds":2', '"periodSeconds":"2s"');
  await found("Deployment", "dsproxy-worker", '"drop":["ALL"]', '"drop":"ALL"');
  await found("HorizontalPodAutoscaler", "dsproxy-worker", '"maxReplicas"', '"maximum"');
  await found("PodDisruptionBudget", "dsproxy-api", '"matchLabels"', '"labels"');
});
