/** This service, from this checkout or another one, as `deno task start` starts it. */
import { delay, freePort } from "../../tests/support/services.ts";
import { OWN_REQUESTS, type RequestTemplate } from "../load/template.ts";
import { Program, type ProgramOptions } from "./program.ts";
import type { Servers } from "./servers.ts";
import type { Side } from "./side.ts";

export type Behind = "embedded" | "PostgreSQL" | "PostgreSQL + Redis";
export const BEHIND: readonly Behind[] = ["embedded", "PostgreSQL", "PostgreSQL + Redis"];

const POLL_MS = 50;

export interface ServiceOptions {
  readonly name: string;
  readonly behind: Behind;
  readonly checkout: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** A database of its own unless given. */
  readonly databaseUrl?: string;
  /** A new directory unless given. */
  readonly dataDir?: string;
}

let started = 0;

export async function startService(servers: Servers, options: ServiceOptions): Promise<Service> {
  const { name, behind, checkout, settings = {} } = options;
  const id = ++started;
  const databaseUrl = behind === "embedded"
    ? undefined
    : options.databaseUrl ?? await servers.database();
  return await serviceWith(name, checkout, {
    DATA_DIR: options.dataDir ?? `${servers.folder}/data${id}`,
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
    ...(behind === "PostgreSQL + Redis"
      ? { REDIS_URL: servers.redis.url, CACHE_PREFIX: `bench${id}:` }
      : {}),
    ...settings,
  });
}

/** Starts it with just these settings. */
export async function serviceWith(
  name: string,
  checkout: string,
  settings: Readonly<Record<string, string>>,
): Promise<Service> {
  const program = new Program(commandOf(checkout, settings));
  try {
    return new Service(name, await program.listening(), program);
  } catch (error) {
    await program.end("SIGKILL");
    throw error;
  }
}

/** Returns how it is started: the program itself, without the task's shell around it. */
export function commandOf(
  checkout: string,
  settings: Readonly<Record<string, string>>,
): ProgramOptions {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${checkout}/deno.json`)) as {
    tasks: { start: string };
  };
  const [, ...args] = tasks.start.replaceAll("'", "").split(" ");
  return {
    command: Deno.execPath(),
    args,
    cwd: checkout,
    env: { PROXY_HOST: "127.0.0.1", PROXY_PORT: "0", LOG_FORMAT: "json", ...settings },
  };
}

/** Returns the URL of a database where nobody listens. */
export function awayFrom(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.port = `${freePort()}`;
  return url.href;
}

export class Service implements Side {
  readonly requests: RequestTemplate = OWN_REQUESTS;

  constructor(
    readonly name: string,
    readonly url: string,
    readonly program: Program,
  ) {}

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(new RegExp(`^dsproxy_${name} (\\S+)$`, "m").exec(text)?.[1]);
  }

  queued(): Promise<number> {
    return this.metric("queue_depth");
  }

  async settled(): Promise<void> {
    while (await this.queued() > 0) await delay(POLL_MS);
  }

  async ready(): Promise<void> {
    for (;;) {
      const response = await fetch(`${this.url}/readyz`);
      await response.body?.cancel();
      if (response.ok) return;
      await delay(POLL_MS);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program.end();
  }
}
