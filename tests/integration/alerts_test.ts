/**
 * A real Prometheus, with the rules that are deployed, watches real instances of all roles: what it
 * gets, what the board would show, and an outage of PostgreSQL as an alert.
 */
import assert from "node:assert/strict";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { idleMetrics } from "../support/fakes.ts";
import { impatientRules } from "../support/impatient_rules.ts";
import { expressionsOf, readBoard, readRules } from "../support/monitoring.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { Prometheus, promtool } from "../support/prometheus.ts";
import { delay, freePort } from "../support/services.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

/** A machine that runs other tests beside this one may really be slow. */
const OF_THE_MACHINE = ["DsproxyEventLoopLag", "DsproxyFsyncSlow", "DsproxyNoLeader"];

interface Watched {
  readonly all: Dsproxy;
  readonly api: Dsproxy;
  readonly worker: Dsproxy;
}

function configuration({ all, api, worker }: Watched, exemplars: string): string {
  const hosts = (...urls: string[]) => JSON.stringify(urls.map((url) => new URL(url).host));
  return `
global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }
rule_files: [rules.yml]
scrape_configs:
  - job_name: dsproxy
    static_configs: [{ targets: ${hosts(all.url)} }]
  - job_name: dsproxy-scaled
    static_configs: [{ targets: ${hosts(api.url, worker.url)} }]
  - job_name: exemplars
    static_configs: [{ targets: ${hosts(exemplars)} }]
`;
}

async function startAll(database: PostgresServer, stack: AsyncDisposableStack): Promise<Watched> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_alerts_" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const store = { DATABASE_URL: database.url, BATCH_INTERVAL: "100ms" };
  // Nobody listens there: with a broker or without, an instance tells the same metrics.
  const broker = { RABBITMQ_URL: `amqp://127.0.0.1:${freePort()}` };
  const start = async (settings: Readonly<Record<string, string>>) =>
    stack.use(await Dsproxy.start({ ...store, ...settings }));
  const [all, api, worker] = await Promise.all([
    start({ DATA_DIR: `${folder}/all` }),
    start({ ROLE: "api", DATA_DIR: `${folder}/api`, ...broker }),
    start({ ROLE: "worker", ...broker }),
  ]);
  return { all, api, worker };
}

/** Serves metrics of which one has a trace, as the service does where traces are recorded. */
function serveExemplar(stack: AsyncDisposableStack): string {
  const metrics = idleMetrics();
  metrics.httpDuration.series({ route: "/write" }).observe(0.002, TRACE_ID);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async () => {
    const { contentType, text } = await metrics.expose(true);
    return new Response(text, { headers: { "content-type": contentType } });
  });
  stack.defer(() => server.shutdown());
  return `http://127.0.0.1:${server.addr.port}`;
}

/** Writes all the time; what is refused while the store is away does not matter here. */
function writeOn(proxy: Dsproxy, stack: AsyncDisposableStack): void {
  let isOver = false;
  const writing = (async () => {
    for (let i = 0; !isOver; i++) {
      await (await proxy.write({ user_id: `user${i % 100}`, value: `${i}` })).body?.cancel();
      await delay(10);
    }
  })();
  stack.defer(async () => {
    isOver = true;
    await writing;
  });
}

async function typesOf(proxy: Dsproxy): Promise<readonly string[]> {
  const text = await (await fetch(`${proxy.url}/metrics`)).text();
  const { isWell, text: said } = await promtool(["check", "metrics"], text);
  assert.ok(isWell && said === "", `promtool check metrics: ${said}`);
  return text.match(/^# TYPE .*/gm)!;
}

Deno.test("Prometheus sees instances of all roles, the board has an answer to each question, and an outage of PostgreSQL is an alert that goes with it", async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await startPostgres());
  const watched = await startAll(database, stack);
  const { all, api, worker } = watched;
  writeOn(all, stack);
  const prometheus = stack.use(
    await Prometheus.start({
      config: configuration(watched, serveExemplar(stack)),
      files: { "rules.yml": await impatientRules() },
    }),
  );

  const types = await typesOf(all);
  assert.deepEqual(await typesOf(api), types, "an API server has the same metrics");
  assert.deepEqual(await typesOf(worker), types, "so has a worker");

  await eventually(
    "all are up, and rows come in",
    async () =>
      await prometheus.value("sum(up)") === 4 &&
      (await prometheus.value("job:dsproxy_stored_rows:rate2m") ?? 0) > 0,
  );
  assert.equal(await prometheus.value('dsproxy_ready{job="dsproxy"}'), 1);
  await eventually("one leads", async () => await prometheus.value("sum(dsproxy_leader)") === 1);
  assert.ok(await prometheus.value('process_cpu_seconds_total{job="dsproxy"}'));
  assert.equal(await prometheus.value('count(dsproxy_broker_up{job="dsproxy-scaled"})'), 2);
  assert.deepEqual(
    await prometheus.exemplars("dsproxy_http_request_duration_seconds_bucket"),
    [{ trace_id: TRACE_ID }],
  );
  await eachHasAnAnswer(prometheus);

  const allFiring = async () =>
    (await prometheus.alerts()).filter(({ labels, state }) =>
      labels.job === "dsproxy" && state === "firing"
    );
  const firing = async (name: string) =>
    (await allFiring()).find(({ labels }) => labels.alertname === name);
  const falseAlarms = (await allFiring()).map(({ labels }) => labels.alertname!)
    .filter((name) => !OF_THE_MACHINE.includes(name));
  assert.deepEqual(falseAlarms, [], "all is well");
  await database.stop();
  await eventually(
    "the outage is an alert",
    async () =>
      await firing("DsproxyNothingStored") !== undefined &&
      await firing("DsproxyBreakerOpen") !== undefined,
  );
  const { labels, annotations } = (await firing("DsproxyNothingStored"))!;
  assert.equal(labels.severity, "critical");
  assert.match(annotations.description!, /^dsproxy 127\.0\.0\.1:\d+ accepts \d+(\.\d+)? writes/);
  await database.start();
  await eventually("it is over", async () =>
    await firing("DsproxyNothingStored") === undefined &&
    await firing("DsproxyBreakerOpen") === undefined);
  assert.equal(await prometheus.value('dsproxy_dead_letters{job="dsproxy"}'), 0);
});

/** Prometheus understands all that is asked of it, and what says how it stands has an answer. */
async function eachHasAnAnswer(prometheus: Prometheus): Promise<void> {
  const board = expressionsOf(await readBoard());
  const rules = (await readRules()).map(({ expr }) => expr);
  await Promise.all(rules.map((expr) => prometheus.query(expr)));
  const empty: string[] = [];
  await Promise.all(board.map(async (expr) => {
    if ((await prometheus.query(expr)).length === 0) empty.push(expr);
  }));
  // Nothing was audited yet, and no instance is started anew; the leader does no other duty.
  const mayBeEmpty = /audit_last_run|changes\(process_start|duty_steps/;
  assert.deepEqual(empty.filter((expr) => !mayBeEmpty.test(expr)), []);
}
