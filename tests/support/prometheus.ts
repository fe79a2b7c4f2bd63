/** Real Prometheus servers for tests, asked by their HTTP API, and `promtool`. */
import assert from "node:assert/strict";
import { installed, PROMETHEUS, PROMTOOL } from "./installed.ts";
import { freePort, TestServer } from "./services.ts";

/** A series with its last value, as the API gives it. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [seconds: number, value: string];
}

export interface FiringAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
}

interface PrometheusFiles {
  /** The content of `prometheus.yml`. */
  readonly config: string;
  /** Others beside it, by name. */
  readonly files: Readonly<Record<string, string>>;
}

export class Prometheus implements AsyncDisposable {
  private constructor(readonly server: TestServer) {}

  /** A Prometheus of one's own on a free loopback port. To be disposed of by the caller. */
  static async start({ config, files }: PrometheusFiles): Promise<Prometheus> {
    const command = await installed(PROMETHEUS);
    const folder = await Deno.makeTempDir({ prefix: "dsproxy_prometheus_" });
    const port = freePort();
    const url = `http://127.0.0.1:${port}`;
    const server = new TestServer(url, {
      name: "Prometheus",
      port,
      folder,
      command,
      args: [
        `--config.file=${folder}/prometheus.yml`,
        `--storage.tsdb.path=${folder}/data`,
        `--web.listen-address=127.0.0.1:${port}`,
        "--enable-feature=exemplar-storage",
      ],
      owner: undefined,
      stopSignal: "SIGTERM",
      probe: async () => {
        const { ok, body } = await fetch(`${url}/-/ready`);
        await body?.cancel();
        if (!ok) throw new Error("not ready");
      },
    });
    try {
      for (const [name, text] of Object.entries({ "prometheus.yml": config, ...files })) {
        await Deno.writeTextFile(`${folder}/${name}`, text);
      }
      await server.start();
    } catch (error) {
      await server.dispose();
      throw error;
    }
    return new Prometheus(server);
  }

  /** The series that an expression has now. @throws when Prometheus does not understand it */
  async query(expression: string): Promise<readonly Sample[]> {
    const { result } = await this.#ask<{ result: Sample[] }>("query", { query: expression });
    return result;
  }

  /** The value of an expression that has one series. */
  async value(expression: string): Promise<number | undefined> {
    const [sample] = await this.query(expression);
    return sample === undefined ? undefined : Number(sample.value[1]);
  }

  async alerts(): Promise<readonly FiringAlert[]> {
    return (await this.#ask<{ alerts: FiringAlert[] }>("alerts", {})).alerts;
  }

  /** Labels of the exemplars that a selector has had in the last hour. */
  async exemplars(selector: string): Promise<readonly Readonly<Record<string, string>>[]> {
    const nowSeconds = Date.now() / 1000;
    const range = { start: `${nowSeconds - 3_600}`, end: `${nowSeconds + 60}` };
    const series = await this.#ask<{ exemplars: { labels: Record<string, string> }[] }[]>(
      "query_exemplars",
      { query: selector, ...range },
    );
    return series.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels));
  }

  async #ask<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T> {
    const query = new URLSearchParams(parameters);
    const response = await fetch(`${this.server.url}/api/v1/${path}?${query}`);
    const { status, error, data } = await response.json();
    assert.equal(status, "success", `${parameters.query ?? path}: ${error}`);
    return data as T;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server.dispose();
  }
}

/** What `promtool` says, and whether it finds all well. */
export async function promtool(
  args: readonly string[],
  input?: string,
): Promise<{ readonly isWell: boolean; readonly text: string }> {
  const child = new Deno.Command(await installed(PROMTOOL), {
    args: [...args],
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  }
  const { success, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { isWell: success, text: decoder.decode(stdout) + decoder.decode(stderr) };
}
