/** What the surroundings were made of, for the table's caption. */
import { installed, NGINX, PGBOUNCER, POSTGRES } from "../support/installed.ts";
import { REDIS_VERSIONS, startRedis } from "../support/redis.ts";
import { output } from "../support/services.ts";

export async function versions(): Promise<string> {
  const said = [
    await versionOf(POSTGRES, "PostgreSQL"),
    await versionOf(PGBOUNCER, "PgBouncer"),
    await nginx(),
  ];
  for (const version of REDIS_VERSIONS) {
    await using server = await startRedis({ version });
    const [, name, number] = /(Redis|Valkey) server v=(\S+)/.exec(
      await output(server.options.command, ["--version"]),
    )!;
    said.push(`${name} ${number}`);
  }
  return [`Deno ${Deno.version.deno}`, ...said].join(", ");
}

async function versionOf(program: Parameters<typeof installed>[0], name: string): Promise<string> {
  return `${name} ${numberIn(await output(await installed(program), ["--version"]))}`;
}

/** It tells its version on standard error, unlike all others. */
async function nginx(): Promise<string> {
  return `nginx ${
    numberIn(await output("sh", ["-c", '"$1" -v 2>&1', "sh", await installed(NGINX)]))
  }`;
}

function numberIn(text: string): string {
  return /\d+\.\d+(\.\d+)?/.exec(text)?.[0] ?? text.trim();
}
