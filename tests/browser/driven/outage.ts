/**
 * `deno task outage`: one outage of a real PostgreSQL, as the page tells it to people, as a trace
 * has it, and as an alert of a real Prometheus with the rules that are deployed; writes
 * docs/outage.md with its pictures.
 */
import { impatientRules } from "../../support/impatient_rules.ts";
import { DemoWorld } from "../../demo/world.ts";
import { eventually } from "../../support/dsproxy.ts";
import { newTraceparent, OtlpReceiver, type ReceivedSpan } from "../../support/otlp_receiver.ts";
import { type FiringAlert, Prometheus } from "../../support/prometheus.ts";
import { delay, freePort } from "../../support/services.ts";
import { Chromium } from "./chromium.ts";
import { Visitor } from "./visitor.ts";

const RESULT = new URL("../../../docs/outage.md", import.meta.url);
const PICTURES = new URL("../../../docs/images/", import.meta.url);
const SIZE = { width: 1280, height: 1000 };
/** Charts that people look at have something to show. */
const TRAFFIC_MS = 60_000;
const LASTS_MS = 12_000;
const ALERT = "DsproxyNothingStored";

interface Line {
  readonly atMs: number;
  readonly who: "somebody" | "the page" | "the trace" | "the alert";
  readonly what: string;
}

function scrapes(url: string): string {
  return `
global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }
rule_files: [rules.yml]
scrape_configs:
  - job_name: dsproxy
    static_configs: [{ targets: [${JSON.stringify(new URL(url).host)}] }]
`;
}

class Story {
  readonly lines: Line[] = [];

  constructor(
    private readonly world: DemoWorld,
    private readonly visitor: Visitor,
    private readonly prometheus: Prometheus,
    private readonly receiver: OtlpReceiver,
  ) {}

  async take(): Promise<void> {
    const { world, visitor } = this;
    world.traffic.start();
    await eventually("rows come in", async () => await this.#stored() > 0);
    await delay(TRAFFIC_MS);
    await this.#picture("before");
    await world.store.takeAway();
    this.#tell("somebody", "stops PostgreSQL");
    const { traceId, field } = newTraceparent();
    await this.#write(field);
    this.#tell("somebody", `writes a record, with the trace ${traceId}; it is answered with 202`);
    await Promise.all([
      visitor.isTold("problem", /has not answered/).then(() => this.#hear()),
      this.#alert(true),
    ]);
    await delay(LASTS_MS);
    await this.#picture("during");
    await world.store.bringBack();
    this.#tell("somebody", "starts PostgreSQL again");
    await Promise.all([
      visitor.isTold("well", /^All is well/).then(() => this.#hear()),
      this.#alert(false),
      this.#trace(traceId),
    ]);
    await delay(LASTS_MS / 2);
    await this.#picture("after");
  }

  #tell(who: Line["who"], what: string, atMs = Date.now()): void {
    this.lines.push({ atMs, who, what });
  }

  async #write(traceparent: string): Promise<void> {
    const response = await fetch(`${this.world.url}/write`, {
      method: "POST",
      headers: { traceparent },
      body: JSON.stringify({ user_id: "user-0", value: "during the outage" }),
    });
    if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
    await response.body?.cancel();
  }

  async #stored(): Promise<number> {
    return await this.prometheus.value("job:dsproxy_stored_rows:rate2m") ?? 0;
  }

  async #hear(): Promise<void> {
    this.#tell("the page", `says: “${await this.visitor.text("#verdict-text")}”`);
  }

  async #alert(isFiring: boolean): Promise<void> {
    const find = async (): Promise<FiringAlert | undefined> =>
      (await this.prometheus.alerts()).find(({ labels, state }) =>
        labels.alertname === ALERT && state === "firing"
      );
    let alert: FiringAlert | undefined;
    await eventually(`${ALERT}: ${isFiring}`, async () => {
      alert = await find();
      return (alert !== undefined) === isFiring;
    });
    const what = isFiring ? `\`${ALERT}\` fires: “${alert!.annotations.summary}”` : "is over";
    this.#tell("the alert", what);
  }

  async #trace(traceId: string): Promise<void> {
    const all = () => this.receiver.spans.filter((span) => span.traceId === traceId);
    const isStored = ({ name, isError }: ReceivedSpan) => name.startsWith("INSERT") && !isError;
    await eventually("the traced write is stored", () => Promise.resolve(all().some(isStored)));
    for (const span of all()) {
      const outcome = span.isError ? `fails (\`${span.attributes["error.type"]}\`)` : "is done";
      const tookMs = Math.max(0, span.endMs - span.startMs);
      this.#tell("the trace", `\`${span.name}\` ${outcome}, ${tookMs.toFixed(1)} ms`, span.endMs);
    }
  }

  async #picture(name: string): Promise<void> {
    await Deno.mkdir(PICTURES, { recursive: true });
    const path = new URL(`outage-${name}.png`, PICTURES);
    await this.visitor.page.screenshot({ path: decodeURIComponent(path.pathname) });
  }
}

function page(lines: readonly Line[]): string {
  const begunMs = lines[0]!.atMs;
  const rows = lines.toSorted((a, b) => a.atMs - b.atMs).map(({ atMs, who, what }) =>
    `| ${((atMs - begunMs) / 1_000).toFixed(2)} s | ${who} | ${what} |`
  );
  return `# One outage, told three times

Written by \`deno task outage\`, pictures included; nothing here is typed by hand. A real PostgreSQL
is stopped under traffic and started again; Chromium has the page open, a receiver takes the traces,
and a Prometheus evaluates the rules of \`deploy/prometheus/\`, whose waiting times (\`for\`) are
shortened to a second for this.

| | who | what |
| --- | --- | --- |
${rows.join("\n")}

Before: ![The page before the outage](images/outage-before.png)

During: ![The page during the outage](images/outage-during.png)

After: ![The page after the outage](images/outage-after.png)
`;
}

await using resources = new AsyncDisposableStack();
const receiver = resources.use(new OtlpReceiver());
const world = resources.use(await DemoWorld.start(freePort(), receiver.settings));
const chromium = resources.use(await Chromium.start());
const prometheus = resources.use(
  await Prometheus.start({
    config: scrapes(world.url),
    files: { "rules.yml": await impatientRules() },
  }),
);
const context = await chromium.browser.newContext({ viewport: SIZE });
const visitor = await Visitor.at(context, `${world.url}/dashboard`);
const story = new Story(world, visitor, prometheus, receiver);
await story.take();
await Deno.writeTextFile(RESULT, page(story.lines));
