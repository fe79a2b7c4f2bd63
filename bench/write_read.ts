/**
 * `deno task bench [seconds]`: load on a fresh embedded instance, and what its levels of
 * acknowledgement cost. Client and service share the machine, so compare the lines of one run with
 * each other, not with another machine's.
 */
import { Dsproxy } from "../tests/support/dsproxy.ts";

const CONNECTIONS = 64;
const ROUNDS = 3;
const durationMs = Number(Deno.args[0] ?? 3) * 1_000;

interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}

async function load(request: (n: number) => Promise<Response>): Promise<Figures> {
  const latenciesMs: number[] = [];
  const startedMs = performance.now();
  let n = 0;
  const connection = async (): Promise<void> => {
    while (performance.now() - startedMs < durationMs) {
      const sentMs = performance.now();
      const response = await request(n++);
      await response.body?.cancel();
      if (!response.ok) throw new Error(`answered ${response.status}`);
      latenciesMs.push(performance.now() - sentMs);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  const seconds = (performance.now() - startedMs) / 1_000;
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? NaN;
  return { perSecond: latenciesMs.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}

const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-bench-" });
try {
  await using proxy = await Dsproxy.start({ DATA_DIR: dataDir });
  const write = (ack: string) => (n: number) =>
    proxy.write({ user_id: `user${n % 1_000}`, value: `value ${n}` }, `?ack=${ack}`);
  const cases: [string, (n: number) => Promise<Response>][] = [
    ["health (the floor)", () => fetch(`${proxy.url}/livez`)],
    ["write, accepted", write("accepted")],
    ["write, durable", write("durable")],
    ["read, cached", (n) => fetch(`${proxy.url}/read?user_id=user${n % 1_000}`)],
  ];
  print(
    `${CONNECTIONS} connections, ${
      durationMs / 1_000
    } s each, ${ROUNDS} rounds in turn; median (min..max)`,
  );
  const results = new Map<string, Figures[]>(cases.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, request] of cases) results.get(name)!.push(await load(request));
  }
  for (const [name, figures] of results) {
    const sorted = figures.toSorted((a, b) => a.perSecond - b.perSecond);
    const [least, median, most] = [
      sorted[0]!,
      sorted[Math.floor(sorted.length / 2)]!,
      sorted.at(-1)!,
    ];
    const spread = `${Math.round(median.perSecond)}/s (${Math.round(least.perSecond)}..${
      Math.round(most.perSecond)
    })`;
    print(
      `${name.padEnd(20)} ${spread.padEnd(26)} p50 ${median.p50Ms.toFixed(2)} ms, p99 ${
        median.p99Ms.toFixed(2)
      } ms`,
    );
  }
  await proxy.stop();
} finally {
  await Deno.remove(dataDir, { recursive: true });
}
