import assert from "node:assert/strict";
import { parse } from "yaml";
import { idleMetrics } from "../support/fakes.ts";
import { deployed, expressionsOf, readBoard, readRules, type Rule } from "../support/monitoring.ts";
import { promtool } from "../support/prometheus.ts";
import { interpolated, parseCompose, readCompose } from "./compose.ts";
import { composeProblems } from "./schemas.ts";
import { isPinned } from "./settings.ts";

const RULES = new URL("../../deploy/prometheus/", import.meta.url).pathname;
const TEST_FILES = ["dsproxy.rules.test.yml", "dsproxy.slow.test.yml"];
const RUNBOOKS = new URL("../../docs/operations.md", import.meta.url);
const CONFIGURATIONS = ["prometheus.yml", "prometheus-scaled.yml"];

async function alerts(): Promise<readonly (Rule & { readonly alert: string })[]> {
  return (await readRules()).filter((rule): rule is Rule & { alert: string } =>
    rule.alert !== undefined
  );
}

async function assertWell(...args: readonly string[]): Promise<void> {
  const { isWell, text } = await promtool(args);
  assert.ok(isWell, text);
}

Deno.test("promtool finds the rules well", async () => {
  await assertWell("check", "rules", "--lint-fatal", `${RULES}dsproxy.rules.yml`);
});

for (const file of TEST_FILES) {
  Deno.test(`each alert fires, and does not in the good case beside it: ${file}`, async () => {
    await assertWell("test", "rules", RULES + file);
  });
}

Deno.test("no alert is without a test", async () => {
  const texts = await Promise.all(TEST_FILES.map((file) => deployed(`prometheus/${file}`)));
  for (const { alert } of await alerts()) {
    assert.ok(texts.some((text) => text.includes(`alertname="${alert}"`)), alert);
  }
});

Deno.test("an alert that would not fire any more fails its test", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_rules_" });
  try {
    const rules = await deployed("prometheus/dsproxy.rules.yml");
    const deaf = rules.replace(
      "sum by (job) (dsproxy_leader) == 0",
      "sum by (job) (dsproxy_leader) < 0",
    );
    assert.notEqual(deaf, rules);
    await Deno.writeTextFile(`${folder}/dsproxy.rules.yml`, deaf);
    const tests = parse(await deployed("prometheus/dsproxy.rules.test.yml")) as {
      tests: { name?: string }[];
    };
    tests.tests = tests.tests.filter(({ name }) => name?.startsWith("DsproxyNoLeader"));
    // What is JSON is YAML, too.
    await Deno.writeTextFile(`${folder}/test.yml`, JSON.stringify(tests));
    const { isWell, text } = await promtool(["test", "rules", `${folder}/test.yml`]);
    assert.equal(isWell, false);
    assert.match(text, /DsproxyNoLeader/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("each alert says what it is, how bad, and where its runbook is", async () => {
  const book = await Deno.readTextFile(RUNBOOKS);
  const sections = new Map(
    book.split(/^### /m).slice(1).map((section) => [/^\w+/.exec(section)?.[0], section]),
  );
  const all = await alerts();
  assert.equal(new Set(all.map(({ alert }) => alert)).size, all.length, "each has its own name");
  for (const { alert, labels, annotations } of all) {
    assert.match(labels?.severity ?? "", /^(critical|warning|none)$/, alert);
    assert.ok(annotations?.summary && annotations.description, alert);
    assert.equal(annotations.runbook_url, `docs/operations.md#${alert.toLowerCase()}`);
    const runbook = sections.get(alert) ?? "";
    for (const part of ["Means", "Look at", "Do", "Worry"]) {
      assert.ok(runbook.toLowerCase().includes(`**${part.toLowerCase()}`), `${alert}: ${part}`);
    }
  }
});

Deno.test("the rules and the board ask for metrics that there are", async () => {
  const { text } = await idleMetrics().expose(false);
  const rules = await readRules();
  const told = new Set(["up", "ALERTS", ...rules.flatMap(({ record }) => record ?? [])]);
  for (const [, name, type] of text.matchAll(/^# TYPE (\w+) (\w+)$/gm)) {
    told.add(name!);
    if (type === "histogram") {
      for (const part of ["bucket", "sum", "count"]) told.add(`${name}_${part}`);
    }
  }
  const expressions = [...rules.map(({ expr }) => expr), ...expressionsOf(await readBoard())];
  const asked = expressions.flatMap((expr) =>
    expr.replaceAll(/"[^"]*"/g, "").match(
      /\b(?:up|ALERTS|(?:\w+:)?(?:dsproxy|process)_[\w:]+)\b/g,
    ) ??
      []
  );
  assert.ok(asked.length > 100, "names are found in expressions");
  assert.deepEqual([...new Set(asked)].filter((name) => !told.has(name)), []);
});

Deno.test("the board takes its source, job and instance from what is chosen, and no panel hides another", async () => {
  const { panels, templating } = await readBoard();
  const variables = templating.list.map(({ name, type }) => [name, type]);
  assert.deepEqual(variables, [["datasource", "datasource"], ["job", "query"], [
    "instance",
    "query",
  ]]);
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { type, title, targets, datasource, gridPos: { x, y, w, h } } of panels) {
    for (let cell = 0; cell < w * h; cell++) {
      const place = `${x + cell % w} ${y + Math.floor(cell / w)}`;
      assert.ok(!taken.has(place) && x + w <= 24, `${title} is in the place of another panel`);
      taken.add(place);
    }
    if (type === "row") continue;
    assert.equal(datasource?.uid, "${datasource}", title);
    assert.ok(targets !== undefined && targets.length > 0, title);
    for (const target of targets) assert.equal(target.datasource.uid, "${datasource}", title);
  }
});

Deno.test("promtool finds the configurations well, in which the rules are", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_prometheus_" });
  try {
    for (const name of CONFIGURATIONS) {
      const text = await deployed(`prometheus/${name}`);
      assert.match(text, /rule_files: \[\/etc\/prometheus\/dsproxy\.rules\.yml\]/);
      const path = `${folder}/${name}`;
      await Deno.writeTextFile(path, text.replace("/etc/prometheus/", RULES));
      await assertWell("check", "config", "--lint-fatal", path);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Compose starts both, pinned, where only this machine reaches them, on files that are there", async () => {
  const scaled = await readCompose("docker-compose.yml", "monitoring.yml");
  assert.deepEqual(await composeProblems(scaled), []);
  const root = new URL("../../docker-compose.yml", import.meta.url);
  const one = parseCompose(await Deno.readTextFile(root)) as typeof scaled;
  const layouts = [
    { ...scaled, folder: new URL("../../deploy/compose/", import.meta.url) },
    { ...one, folder: new URL("../../", import.meta.url) },
  ];
  for (const { services, volumes: declared, folder } of layouts) {
    for (const name of ["prometheus", "grafana"]) {
      const { image, ports, volumes } = services[name]!;
      assert.ok(isPinned(image), image);
      for (const port of ports ?? []) assert.match(interpolated(port), /^127\.0\.0\.1:\d+:\d+$/);
      for (const volume of volumes ?? []) {
        const [source] = volume.split(":");
        if (source!.startsWith(".")) await Deno.stat(new URL(source!, folder));
        else assert.ok(source! in declared, `${name} has a declared volume ${source}`);
      }
    }
  }
  for (const name of ["prometheus", "grafana"]) {
    const { cap_drop, read_only, security_opt, healthcheck } = scaled.services[name]!;
    assert.deepEqual([cap_drop, read_only], [["ALL"], true], name);
    assert.deepEqual(security_opt, ["no-new-privileges:true"], name);
    assert.ok((healthcheck?.test.length ?? 0) > 1, name);
  }
  assert.ok("grafana_password" in scaled.secrets);
  assert.match(await deployed("compose/make-secrets.sh"), /> secrets\/grafana_password$/m);
});

Deno.test("Grafana is given the board, and a source by the name that Compose gives Prometheus", async () => {
  const { datasources: [source] } = parse(
    await deployed("grafana/provisioning/datasources/prometheus.yml"),
  );
  assert.equal(new URL(source.url).host, "prometheus:9090");
  const { providers: [provider] } = parse(
    await deployed("grafana/provisioning/dashboards/dsproxy.yml"),
  );
  const { services } = await readCompose("docker-compose.yml", "monitoring.yml");
  const targets = services.grafana!.volumes!.map((volume) => volume.split(":")[1]);
  assert.ok(targets.includes(provider.options.path), provider.options.path);
  assert.ok(targets.includes("/etc/grafana/provisioning"));
});
