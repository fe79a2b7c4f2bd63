/**
 * Puts a side under load by `oha`, in an open loop: requests are due at a fixed rate, whatever is
 * answered, and a latency counts from when its request was due. So a stall is seen by all that it
 * delayed, not by one request of each connection ("coordinated omission").
 */
import { filled, type OneRequest } from "./template.ts";

export const OHA = { name: "oha", version: "1.16.0" } as const;

/** A body is chosen from so many; few users more than once. */
const BODIES = 20_000;

export interface OpenLoop {
  /** Without it as many as come: each connection waits for its answer, in a closed loop. */
  readonly perSecond?: number;
  readonly connections: number;
  readonly seconds: number;
  readonly users: number;
}

export interface Latencies {
  /** Less than was asked for where the side, or the machine, did not hold that rate. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

/** @throws Error when some were not answered with 2xx */
export async function openLoop(
  url: string,
  request: OneRequest,
  load: OpenLoop,
): Promise<Latencies> {
  const oha = await installedOha();
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-oha-" });
  try {
    const { stdout, stderr, success } = await new Deno.Command(oha, {
      args: await argumentsOf(url, request, load, folder),
    }).output();
    if (!success) throw new Error(`oha failed: ${new TextDecoder().decode(stderr)}`);
    return parseOha(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function argumentsOf(
  url: string,
  request: OneRequest,
  { perSecond, connections, seconds, users }: OpenLoop,
  folder: string,
): Promise<string[]> {
  const lines = (text: string) =>
    Array.from({ length: BODIES }, (_, n) => filled(text, 1 + Math.floor(Math.random() * users), n))
      .join("\n");
  // deno-fmt-ignore
  const args = [
    "--no-tui", "--no-color", "--output-format", "json", "-c", `${connections}`,
    "-z", `${seconds}s`, "--wait-ongoing-requests-after-deadline", "-m", request.method,
  ];
  if (perSecond !== undefined) args.push("-q", `${Math.round(perSecond)}`, "--latency-correction");
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    args.push("-H", `${name}: ${value}`);
  }
  if (request.body !== undefined) {
    await Deno.writeTextFile(`${folder}/bodies`, lines(request.body));
    args.push("-Z", `${folder}/bodies`, url + request.path);
  } else {
    await Deno.writeTextFile(`${folder}/urls`, lines(url + request.path));
    args.push("--urls-from-file", `${folder}/urls`);
  }
  return args;
}

interface OhaJson {
  readonly summary: { readonly requestsPerSec: number };
  readonly latencyPercentiles: Readonly<Record<string, number>>;
  readonly statusCodeDistribution: Readonly<Record<string, number>>;
  readonly errorDistribution: Readonly<Record<string, number>>;
}

/** @throws Error when some were not answered with 2xx */
export function parseOha(text: string): Latencies {
  const { summary, latencyPercentiles, statusCodeDistribution, errorDistribution } = JSON.parse(
    text,
  ) as OhaJson;
  const bad = [
    ...Object.entries(statusCodeDistribution).filter(([code]) => !code.startsWith("2")),
    // What is under way when the time is up is no error of the side.
    ...Object.entries(errorDistribution).filter(([error]) =>
      !/aborted due to deadline/.test(error)
    ),
  ];
  if (bad.length > 0) throw new Error(`Not all were answered well: ${JSON.stringify(bad)}`);
  const percentileMs = (name: string) => latencyPercentiles[name]! * 1_000;
  return {
    perSecond: summary.requestsPerSec,
    p50Ms: percentileMs("p50"),
    p99Ms: percentileMs("p99"),
    p999Ms: percentileMs("p99.9"),
  };
}

/** Returns the path of oha where it is installed. */
export async function ohaIfInstalled(): Promise<string | undefined> {
  const folders = [
    ...(Deno.env.get("PATH") ?? "").split(":"),
    `${Deno.env.get("HOME")}/.cargo/bin`,
  ];
  for (const folder of folders.filter((folder) => folder !== "")) {
    try {
      if ((await Deno.stat(`${folder}/${OHA.name}`)).isFile) return `${folder}/${OHA.name}`;
    } catch {
      continue; // It is not in this folder.
    }
  }
}

/** It is in no distribution: Rust's cargo builds it, once, which takes some minutes. */
async function installedOha(): Promise<string> {
  const found = await ohaIfInstalled();
  if (found !== undefined) return found;
  const help = `Install it: cargo install ${OHA.name}@${OHA.version} --locked`;
  await Deno.stderr.write(new TextEncoder().encode(`bench: building ${OHA.name} with cargo\n`));
  let result: Deno.CommandOutput;
  try {
    result = await new Deno.Command("cargo", {
      args: ["install", "--quiet", "--locked", `${OHA.name}@${OHA.version}`],
    }).output();
  } catch (error) {
    throw new Error(`Cannot find ${OHA.name}, nor cargo to build it. ${help}`, { cause: error });
  }
  const built = await ohaIfInstalled();
  if (result.success && built !== undefined) return built;
  throw new Error(`${OHA.name} was not built: ${new TextDecoder().decode(result.stderr)}. ${help}`);
}
