/** The command line: which command the arguments ask for, and the help text. */
import { optionsHelp } from "../config/options.ts";
import {
  DEAD_LETTERS_USAGE,
  type DeadLettersRequest,
  parseDeadLettersRequest,
} from "./dead_letters.ts";

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
  "--print-schema": {
    command: "print-schema",
    help: "print the SQL that makes a PostgreSQL database ready, for who migrates by hand",
  },
  "--dev": {
    command: "dev",
    help: "serve for development: on 127.0.0.1 unless PROXY_HOST says otherwise",
  },
  "--change-store": {
    command: "change-store",
    help:
      "let what waits in DATA_DIR for another store go to the one that is configured; only while nothing runs there",
  },
  "--ready": {
    command: "ready",
    help: "ask the running instance whether it is ready, for container health checks",
  },
} as const;

export type Command =
  | { readonly command: "serve" | (typeof FLAGS)[keyof typeof FLAGS]["command"] }
  | { readonly command: "dead-letters"; readonly request: DeadLettersRequest };

/** `error` is for the person who typed: what is wrong and where help is. */
export function parseCommandLine(args: readonly string[]): Command | { error: string } {
  const [first, ...more] = args;
  if (first === undefined) return { command: "serve" };
  if (first === "dead-letters") {
    const request = parseDeadLettersRequest(more);
    return "error" in request ? request : { command: "dead-letters", request };
  }
  if (!isFlag(first)) {
    const what = first.startsWith("-") ? "flag" : "argument";
    return {
      error: `dsproxy: unknown ${what} ${
        JSON.stringify(first)
      }. Run dsproxy --help to see what there is.`,
    };
  }
  if (more.length > 0) {
    return {
      error: `dsproxy: ${first} stands alone, but ${
        JSON.stringify(more[0])
      } follows it. Run dsproxy --help.`,
    };
  }
  return { command: FLAGS[first].command };
}

function isFlag(text: string): text is keyof typeof FLAGS {
  return Object.hasOwn(FLAGS, text);
}

export function helpText(version: string): string {
  const flags = Object.entries(FLAGS).map(([flag, { help }]) => `  ${flag.padEnd(16)}  ${help}\n`)
    .join("");
  return `dsproxy ${version}: a write-behind proxy in front of PostgreSQL or embedded SQLite

Usage: dsproxy [flag]
       dsproxy dead-letters …
Without a flag it serves until SIGTERM, SIGINT or SIGQUIT.

Flags:
${flags}
Rows that the database refused, of the instance running on this machine:
${DEAD_LETTERS_USAGE}
Options, from the environment, then .env in the working directory, then the default:
${optionsHelp()}
Durations: 250ms, 2s, 5m, 1m30s; a bare number is seconds. Sizes: 64KiB, 1GiB, 1MB; a bare number is bytes.

Exit codes: 0 clean stop, 78 bad configuration or a DATA_DIR that belongs to another store, 1 anything else.
`;
}
