/**
 * Start: from the process's start to the first answer, and to readiness, with an empty journal and
 * with backlogs; from the sources, and compiled where there is `dist/dsproxy`.
 */
import { delay, freePort } from "../../tests/support/services.ts";
import { BACKLOG_SETTINGS, copyOf, makeBacklog, shortly } from "../backlog.ts";
import type { Options } from "../options.ts";
import { print } from "../print.ts";
import type { Figure, Findings, Target } from "../figures.ts";
import { inTurn } from "../rounds.ts";
import { Program, type ProgramOptions } from "../sides/program.ts";
import { awayFrom, commandOf } from "../sides/service.ts";
import type { Servers } from "../sides/servers.ts";
import { spread } from "../statistics.ts";

const POLL_MS = 2;
const RECOVERY_TARGETS: Readonly<Record<number, Target>> = { 1_000_000: { atMost: 1_500 } };
const FIRST_ANSWER_TARGET: Target = { atMost: 300 };

interface Start {
  readonly answeredMs: number;
  readonly readyMs: number;
}
interface StartCase {
  readonly how: "source" | "compiled";
  readonly records: number;
}

export async function start(servers: Servers, options: Options): Promise<Findings> {
  const sizes = [0, ...options.records];
  for (const records of sizes) await makeBacklog(`${servers.folder}/backlog${records}`, records);
  const binary = `${options.checkout}/dist/dsproxy`;
  const ways = await exists(binary) ? ["source", "compiled"] as const : ["source"] as const;
  if (ways.length === 1) print(`${binary} is not there: \`deno task compile\` makes it`);
  // Nothing is delivered meanwhile: the start is what is measured.
  const databaseUrl = awayFrom(servers.postgres.url);
  let copies = 0;
  const cases = ways.flatMap((how) => sizes.map((records): StartCase => ({ how, records })));
  const found = await inTurn(cases, options.rounds, async ({ how, records }) => {
    const dataDir = `${servers.folder}/start${++copies}`;
    await copyOf(`${servers.folder}/backlog${records}`, dataDir);
    const port = freePort();
    const fromSource = commandOf(options.checkout, {
      ...BACKLOG_SETTINGS,
      DATA_DIR: dataDir,
      PROXY_PORT: `${port}`,
      DATABASE_URL: databaseUrl,
      REDIS_URL: servers.redis.url,
    });
    const start = await timed(
      how === "source" ? fromSource : { ...fromSource, command: binary, args: [] },
      `http://127.0.0.1:${port}`,
    );
    await Deno.remove(dataDir, { recursive: true });
    return start;
  });
  const figures = cases.flatMap((one): Figure[] => {
    const { how, records } = one;
    const all = found.get(one)!;
    const name = `${how}, ${records === 0 ? "empty" : shortly(records)} journal`;
    const empty = found.get(cases.find((other) => other.how === how && other.records === 0)!)!;
    const first: Figure = {
      name: `${name}: first answer`,
      unit: "ms",
      rounds: all.map(({ answeredMs }) => answeredMs),
      ...(how === "compiled" ? { target: FIRST_ANSWER_TARGET } : {}),
    };
    const ready: Figure = {
      name: `${name}: ready`,
      unit: "ms",
      rounds: all.map(({ readyMs }) => readyMs),
    };
    if (records === 0) return [first, ready];
    const target = RECOVERY_TARGETS[records];
    return [first, ready, {
      name: `${name}: ready later than with an empty one`,
      unit: "ms",
      rounds: all.map(({ readyMs }, i) => readyMs - empty[i]!.readyMs),
      ...(target === undefined ? {} : { target }),
    }];
  });
  for (const { name, rounds } of figures) print(`${name.padEnd(60)} ${spread(rounds, 0)} ms`);
  return { figures, raw: [] };
}

async function timed(command: ProgramOptions, url: string): Promise<Start> {
  const startedMs = performance.now();
  const program = new Program(command);
  try {
    await answered(program, `${url}/livez`, () => true);
    const answeredMs = performance.now() - startedMs;
    await answered(program, `${url}/readyz`, ({ ok }) => ok);
    return { answeredMs, readyMs: performance.now() - startedMs };
  } finally {
    await program.end("SIGKILL");
  }
}

async function answered(
  program: Program,
  url: string,
  isMeant: (response: Response) => boolean,
): Promise<void> {
  for (;;) {
    try {
      const response = await fetch(url);
      await response.body?.cancel();
      if (isMeant(response)) return;
    } catch {
      if (program.hasEnded) throw new Error(`It ended instead of answering: ${program.log}`);
    }
    await delay(POLL_MS);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
