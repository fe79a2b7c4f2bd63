/** The command line: which command the arguments ask for, the help text, and the question behind `--ready`. */
import { get } from "node:http";
import type { Config } from "./config.ts";
import { optionsHelp } from "./config_options.ts";
import { reasonOf } from "./errors.ts";

const FLAGS = {
  "--help": { command: "help", help: "print this text" },
  "--version": { command: "version", help: "print the version" },
  "--check-config": {
    command: "check-config",
    help: "check the configuration, the journal (read-only) and every configured dependency",
  },
  "--print-config": {
    command: "print-config",
    help: "print every option's value and where it came from, secrets masked",
  },
  "--dev": { command: "dev", help: "serve for development: on 127.0.0.1 unless PROXY_HOST says otherwise" },
  "--ready": { command: "ready", help: "ask the running instance whether it is ready, for container health checks" },
} as const;

export type Command = "serve" | (typeof FLAGS)[keyof typeof FLAGS]["command"];

/** `error` is for the person who typed: what is wrong and where help is. */
export function parseCommandLine(args: readonly string[]): { command: Command } | { error: string } {
  const [first, ...more] = args;
  if (first === undefined) return { command: "serve" };
  if (!isFlag(first)) {
    const what = first.startsWith("-") ? "flag" : "argument";
    return { error: `dsproxy: unknown ${what} ${JSON.stringify(first)}. Run dsproxy --help to see what there is.` };
  }
  if (more.length > 0) {
    return { error: `dsproxy: ${first} stands alone, but ${JSON.stringify(more[0])} follows it. Run dsproxy --help.` };
  }
  return { command: FLAGS[first].command };
}

function isFlag(text: string): text is keyof typeof FLAGS {
  return Object.hasOwn(FLAGS, text);
}

export function helpText(version: string): string {
  const flags = Object.entries(FLAGS).map(([flag, { help }]) => `  ${flag.padEnd(16)}  ${help}\n`).join("");
  return `dsproxy ${version}: a write-behind proxy in front of PostgreSQL or embedded SQLite

Usage: dsproxy [flag]
Without a flag it serves until SIGTERM or SIGINT.

Flags:
${flags}
Options, from the environment, then .env in the working directory, then the default:
${optionsHelp()}
Durations: 250ms, 2s, 5m, 1m30s; a bare number is seconds. Sizes: 64KiB, 1GiB, 1MB; a bare number is bytes.

Exit codes: 0 clean stop, 78 bad configuration, 1 anything else.
`;
}

const READY_TIMEOUT_MS = 3_000;
const MAX_ANSWER_LENGTH = 65_536;
const ANY_ADDRESS = new Map([["0.0.0.0", "127.0.0.1"], ["::", "::1"]]);

/** Asks the instance that listens where `config` says; never rejects. `message` has the reason when it is not ready. */
export async function askReady(config: Pick<Config, "listen">): Promise<{ ok: boolean; message: string }> {
  const { port } = config.listen;
  if (port === 0) {
    return { ok: false, message: "PROXY_PORT is 0, so nobody can know the port: set one to use --ready." };
  }
  const host = ANY_ADDRESS.get(config.listen.host) ?? config.listen.host;
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  try {
    const { status, text } = await getReadyz(host, port);
    const answer = text.trim().replaceAll(/\s*\n\s*/g, "; ").slice(0, 500);
    if (status === 200) return { ok: true, message: `ready at ${where}` };
    return { ok: false, message: `not ready at ${where}: status ${status}, ${answer}` };
  } catch (error) {
    return { ok: false, message: `not ready: no answer from ${where} (${reasonOf(error)})` };
  }
}

/** Not `fetch`, which would go through the proxy that HTTP_PROXY names. */
function getReadyz(hostname: string, port: number): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = get({ hostname, port, path: "/readyz", agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_LENGTH) giveUp("its answer is too long to be that of dsproxy");
      });
      response.on("end", () => settle(() => resolve({ status: response.statusCode ?? 0, text })));
      response.on("error", (error) => settle(() => reject(error)));
    });
    const timer = setTimeout(() => giveUp(`it did not come within ${READY_TIMEOUT_MS / 1000} s`), READY_TIMEOUT_MS);
    request.on("error", (error) => settle(() => reject(error)));
    function giveUp(reason: string): void {
      settle(() => reject(new Error(reason)));
      request.destroy();
    }
    function settle(outcome: () => void): void {
      clearTimeout(timer);
      outcome();
    }
  });
}
