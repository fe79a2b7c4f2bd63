/** Finds which command the arguments ask for, and writes the help text. */
import { parseArgs } from "node:util";
import { optionsHelp } from "../config/options.ts";
import { reasonOf } from "../errors.ts";
import { routesHelp } from "../http/routes.ts";
import { AUDIT_USAGE, type AuditRequest, EXIT_FOUND, parseAuditRequest } from "./audit.ts";
import {
  DEAD_LETTERS_USAGE,
  type DeadLettersRequest,
  parseDeadLettersRequest,
} from "./dead_letters.ts";
import { isSteeringCommand, STEERING_USAGE, type SteeringCommand } from "./steering.ts";

/** Each flag stands alone. */
const FLAGS = {
  "help": "print this text",
  "version": "print the version",
  "check-config":
    "check the configuration, the journal (read-only) and every configured dependency",
  "print-config": "print every option's value and where it came from, secrets masked",
  "print-schema": "print the SQL that makes a PostgreSQL database ready, for who migrates by hand",
  "dev": "serve for development: on 127.0.0.1 unless PROXY_HOST says otherwise",
  "change-store":
    "let what waits in DATA_DIR for another store go to the one that is configured; " +
    "only while nothing runs there",
  "ready": "ask the running instance whether it is ready, for container health checks",
} as const;
type Flag = keyof typeof FLAGS;

const BOOLEAN = { type: "boolean" } as const;
const ARGUMENTS = {
  ...Object.fromEntries(Object.keys(FLAGS).map((flag) => [flag, BOOLEAN])) as Record<
    Flag,
    typeof BOOLEAN
  >,
  /** These belong to dead-letters. */
  all: BOOLEAN,
  yes: BOOLEAN,
  user: { type: "string" },
  code: { type: "string" },
  from: { type: "string" },
  until: { type: "string" },
  /** These belong to audit. */
  json: BOOLEAN,
  reason: { type: "string" },
} as const;

export type Command =
  | { readonly command: "serve" | Flag }
  | { readonly command: "dead-letters"; readonly request: DeadLettersRequest }
  | { readonly command: SteeringCommand }
  | { readonly command: "audit"; readonly request: AuditRequest };

/** `error` is for the person who typed: what is wrong and where help is. */
export function parseCommandLine(args: readonly string[]): Command | { error: string } {
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options: ARGUMENTS, allowPositionals: true });
  } catch (error) {
    // What follows the first sentence is about arguments that begin with a hyphen: none here do.
    return refused(reasonOf(error).replace(/\. .*/s, ""));
  }
  const { values, positionals: [word, ...operands] } = parsed;
  const { all, yes, user, code, from, until, json, reason, ...flags } = values;
  const letterFlags = given({ all, yes, user, code, from, until });
  const [letterFlag] = Object.keys(letterFlags);
  const [flag, another] = Object.keys(flags) as Flag[];
  if (word !== "audit" && (json !== undefined || reason !== undefined)) {
    return refused(`--${json !== undefined ? "json" : "reason"} belongs to audit`);
  }
  if (word === "audit" && flag === undefined && letterFlag === undefined) {
    const request = parseAuditRequest(operands, { json, reason });
    return "error" in request ? request : { command: word, request };
  }
  if (word === "dead-letters" && flag === undefined) {
    const request = parseDeadLettersRequest(operands, letterFlags);
    return "error" in request ? request : { command: word, request };
  }
  const isSteering = isSteeringCommand(word);
  if (isSteering && flag === undefined && letterFlag === undefined && operands.length === 0) {
    return { command: word };
  }
  if (word !== undefined && word !== "dead-letters" && word !== "audit" && !isSteering) {
    return refused(`unknown argument ${JSON.stringify(word)}`);
  }
  const otherFlag = letterFlag ?? another;
  const beside = word ?? (otherFlag && `--${otherFlag}`);
  if (flag !== undefined && beside !== undefined) {
    return refused(`--${flag} stands alone, but ${beside} is there, too`);
  }
  if (letterFlag !== undefined) return refused(`--${letterFlag} belongs to dead-letters`);
  if (isSteering) return refused(`${word} stands alone`);
  return { command: flag ?? "serve" };
}

/** Returns what is there of it. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function refused(reason: string): { error: string } {
  return { error: `dsproxy: ${reason}. Run dsproxy --help to see what there is.` };
}

export function helpText(version: string): string {
  const width = Math.max(...Object.keys(FLAGS).map((flag) => flag.length));
  const flags = Object.entries(FLAGS).map(([flag, help]) => `  --${flag.padEnd(width)}  ${help}\n`);
  return `dsproxy ${version}: a write-behind proxy in front of PostgreSQL or embedded SQLite

Usage: dsproxy [flag]
       dsproxy dead-letters …
       dsproxy audit …
       dsproxy flush | pause | resume | drain
Without a flag it serves until SIGTERM, SIGINT or SIGQUIT.

Flags:
${flags.join("")}
Rows that the database refused, of the instance running on this machine, by its admin socket:
${DEAD_LETTERS_USAGE}
What waits for the database, at the same instance:
${STEERING_USAGE}
The numbers of all writes held against the database, by the instance on this machine:
${AUDIT_USAGE}
Routes; those under /admin by the admin socket, or with a key of ADMIN_KEY:
${routesHelp()}
Options, from the environment, then .env in the working directory, then the default:
${optionsHelp()}
Durations: 250ms, 2s, 5m, 1m30s; a bare number is seconds.
Sizes: 64KiB, 1GiB, 1MB; a bare number is bytes.

Exit codes: 0 clean stop, 78 bad configuration or a DATA_DIR that belongs to another store,
${EXIT_FOUND} an audit found something, 1 anything else.
`;
}
