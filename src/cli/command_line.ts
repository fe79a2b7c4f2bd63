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
import { DOCTOR_USAGE, type DoctorRequest, parseDoctorRequest } from "./doctor.ts";

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
  /** This one belongs to dead-letters. */
  all: BOOLEAN,
  /** These belong to audit, and json to doctor as well. */
  json: BOOLEAN,
  reason: { type: "string" },
} as const;

export type Command =
  | { readonly command: "serve" | Flag }
  | { readonly command: "dead-letters"; readonly request: DeadLettersRequest }
  | { readonly command: "audit"; readonly request: AuditRequest }
  | { readonly command: "doctor"; readonly request: DoctorRequest };

/** `error` is for the person who typed: what is wrong and where help is. */
export function parseCommandLine(args: readonly string[]): Command | { error: string } {
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options: ARGUMENTS, allowPositionals: true });
  } catch (error) {
    // What follows the first sentence is about arguments that begin with a hyphen: none here do.
    return refused(reasonOf(error).replace(/\. .*/s, ""));
  }
  const { values: { all, json, reason, ...flags }, positionals: [word, ...operands] } = parsed;
  const [flag, another] = Object.keys(flags) as Flag[];
  if (word === "doctor" && flag === undefined && all === undefined) {
    const request = parseDoctorRequest(operands, { json, reason });
    return "error" in request ? request : { command: word, request };
  }
  if (word !== "audit" && (json !== undefined || reason !== undefined)) {
    return refused(`--${json !== undefined ? "json" : "reason"} belongs to audit`);
  }
  if (word === "audit" && flag === undefined && all === undefined) {
    const request = parseAuditRequest(operands, { json, reason });
    return "error" in request ? request : { command: word, request };
  }
  if (word === "dead-letters" && flag === undefined) {
    const request = parseDeadLettersRequest(operands, all ?? false);
    return "error" in request ? request : { command: word, request };
  }
  if (word !== undefined && !["dead-letters", "audit", "doctor"].includes(word)) {
    return refused(`unknown argument ${JSON.stringify(word)}`);
  }
  const beside = word ?? (all ? "--all" : another && `--${another}`);
  if (flag !== undefined && beside !== undefined) {
    return refused(`--${flag} stands alone, but ${beside} is there, too`);
  }
  return all ? refused("--all belongs to dead-letters") : { command: flag ?? "serve" };
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
       dsproxy doctor …
Without a flag it serves until SIGTERM, SIGINT or SIGQUIT.

Flags:
${flags.join("")}
Rows that the database refused, of the instance running on this machine, by its admin socket:
${DEAD_LETTERS_USAGE}
The numbers of all writes held against the database, by the instance on this machine:
${AUDIT_USAGE}
What is configured, reachable and risky, and what to do about it:
${DOCTOR_USAGE}
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
