/** Starts the sides that are programs beside the service, and names those that run already. */
import { migrate } from "../../tests/support/postgres_migration.ts";
import { fileURLToPath } from "node:url";
import { OWN_REQUESTS, parseTemplate, type RequestTemplate } from "../load/template.ts";
import { Program } from "./program.ts";
import type { Servers } from "./servers.ts";
import type { Side } from "./side.ts";

/** The service has the same one. */
const V8_FLAGS = "--v8-flags=--heap-growing-percent=100,--gc-memory-reducer-start-delay-ms=1000";

export interface ProgramSide extends Side {
  readonly program: Program;
}

/** @param flags further ones of the runtime */
export function startFloor(flags: readonly string[] = []): Promise<ProgramSide> {
  return startBeside("floor", "floor.ts", {}, flags);
}

/** @param databaseUrl a database that has the service's tables; a new one unless given */
export async function startDirect(
  servers: Servers,
  name = "direct",
  databaseUrl?: string,
): Promise<ProgramSide> {
  const url = databaseUrl ?? await servers.database();
  if (databaseUrl === undefined) await migrate(url);
  return startBeside(name, "direct.ts", { DIRECT_URL: url });
}

async function startBeside(
  name: string,
  file: string,
  env: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<ProgramSide> {
  const program = new Program({
    command: Deno.execPath(),
    args: [
      "run",
      V8_FLAGS,
      ...flags,
      "--allow-net",
      "--allow-env",
      fileURLToPath(new URL(file, import.meta.url)),
    ],
    env,
  });
  const url = await program.listening();
  const dispose = () => program.end();
  return { name, url, program, requests: OWN_REQUESTS, settled, [Symbol.asyncDispose]: dispose };
}

/** Reads `NAME=URL,TEMPLATE`: a service that runs already, and the file that says how to ask it. */
export async function otherSide(text: string): Promise<Side> {
  const [, name, url, file] = /^([^=]+)=(https?:\/\/[^,]+?)\/?,(.+)$/.exec(text) ?? [];
  if (name === undefined || url === undefined || file === undefined) {
    throw new Error(`--side ${text} must be NAME=URL,TEMPLATE`);
  }
  const requests: RequestTemplate = parseTemplate(await Deno.readTextFile(file));
  return { name, url, requests, settled, [Symbol.asyncDispose]: async () => {} };
}

/** Who answers after the commit has nothing left to do. */
async function settled(): Promise<void> {}
