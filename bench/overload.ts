/**
 * `deno task bench:overload [seconds]`: more writes than the database takes. A PostgreSQL behind a
 * slow network, a small journal, and clients that send at a fixed rate whatever the answer: what is
 * accepted at the highest rate, several times of what the database takes, against the most that is
 * accepted at any. The last line is that ratio, median (min..max) of the rounds.
 */
import { Dsproxy } from "../tests/support/dsproxy.ts";
import { FaultProxy } from "../tests/support/fault_proxy.ts";
import { startPostgres } from "../tests/support/postgres.ts";
import { delay } from "../tests/support/services.ts";
import { print } from "./print.ts";
import { spread } from "./statistics.ts";

const ROUNDS = 3;
const OFFERED_PER_SECOND = [500, 1_000, 2_000, 4_000];
const NETWORK_LATENCY_MS = 60;
const TICK_MS = 10;
const VALUE = "x".repeat(1_000);
const durationMs = Number(Deno.args[0] ?? 5) * 1_000;

interface Figures {
  readonly accepted: number;
  readonly refused: number;
  readonly p99Ms: number;
}

/** Rates a second; the time of refusals counts, too. */
async function offer(proxy: Dsproxy, perSecond: number): Promise<Figures> {
  const latenciesMs: number[] = [];
  const answers = new Map<number, number>();
  const send = async (n: number) => {
    const sentMs = performance.now();
    const response = await proxy.write({ user_id: `user${n % 1_000}`, value: VALUE });
    await response.body?.cancel();
    latenciesMs.push(performance.now() - sentMs);
    answers.set(response.status, (answers.get(response.status) ?? 0) + 1);
  };
  const sent: Promise<void>[] = [];
  const startedMs = performance.now();
  while (performance.now() - startedMs < durationMs) {
    const due = Math.floor((performance.now() - startedMs) / 1_000 * perSecond);
    while (sent.length < due) sent.push(send(sent.length));
    await delay(TICK_MS);
  }
  await Promise.all(sent);
  const seconds = (performance.now() - startedMs) / 1_000;
  latenciesMs.sort((a, b) => a - b);
  const p99Ms = latenciesMs[Math.floor(latenciesMs.length * 0.99)] ?? NaN;
  return {
    accepted: (answers.get(202) ?? 0) / seconds,
    refused: (answers.get(503) ?? 0) / seconds,
    p99Ms,
  };
}

async function untilEmpty(proxy: Dsproxy): Promise<void> {
  while (await proxy.metric("dsproxy_queue_depth") > 0) await delay(100);
}

const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-overload-" });
const postgres = await startPostgres();
const network = FaultProxy.to(postgres.port);
try {
  await using proxy = await Dsproxy.start({
    DATA_DIR: dataDir,
    DATABASE_URL: network.urlOf(postgres.url),
    MAX_BODY_BYTES: "64KiB",
    MAX_VALUE_BYTES: "16KiB",
    JOURNAL_MAX_BYTES: "1MiB",
    BATCH_MAX: "200",
  });
  network.latencyMs = NETWORK_LATENCY_MS;
  network.weather = "slow";
  print(`${durationMs / 1_000} s at each rate, ${ROUNDS} rounds; per second`);
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const goodput: number[] = [];
    for (const offered of OFFERED_PER_SECOND) {
      const { accepted, refused, p99Ms } = await offer(proxy, offered);
      goodput.push(accepted);
      print(
        `offered ${offered}: accepted ${Math.round(accepted)}, refused ${
          Math.round(refused)
        }, p99 ${p99Ms.toFixed(1)} ms`,
      );
      await untilEmpty(proxy);
    }
    ratios.push(goodput.at(-1)! / Math.max(...goodput));
  }
  print(`accepted at the highest load / most accepted at any: ${spread(ratios, 2)}`);
  network.weather = "pass";
  await proxy.stop();
} finally {
  await network[Symbol.asyncDispose]();
  await postgres.dispose();
  await Deno.remove(dataDir, { recursive: true });
}
