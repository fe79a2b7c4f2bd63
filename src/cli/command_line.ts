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
import { STEERING_USAGE, type SteeringCommand } from "./steering.ts";
import { parseTopRequest, TOP_USAGE, type TopRequest } from "./top.ts";

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
const STRING = { type: "string" } as const;

/** Each belongs to commands that name it. */
const OPTIONS = {
  all: BOOLEAN,
  yes: BOOLEAN,
  user: STRING,
  code: STRING,
  from: STRING,
  until: STRING,
  json: BOOLEAN,
  reason: STRING,
  once: BOOLEAN,
} as const;
type Option = keyof typeof OPTIONS;
type Given = {
  readonly [K in Option]?: (typeof OPTIONS)[K] extends typeof BOOLEAN ? boolean : string;
};

interface Refused {
  readonly error: string;
}

export type Command =
  | { readonly command: "serve" | Flag }
  | { readonly command: "dead-letters"; readonly request: DeadLettersRequest }
  | { readonly command: "audit"; readonly request: AuditRequest }
  | { readonly command: "doctor"; readonly request: DoctorRequest }
  | { readonly command: "top"; readonly request: TopRequest }
  | { readonly command: SteeringCommand };

/** It is what a command's word is followed by. */
interface Grammar {
  readonly options: readonly Option[];
  readonly parse: (operands: readonly string[], options: Given) => Command | Refused;
}

const COMMANDS: Readonly<Record<Exclude<Command["command"], "serve" | Flag>, Grammar>> = {
  "dead-letters": {
    options: ["all", "yes", "user", "code", "from", "until"],
    parse: (operands, options) => {
      const request = parseDeadLettersRequest(operands, options);
      return "error" in request ? request : { command: "dead-letters", request };
    },
  },
  "audit": {
    options: ["json", "reason"],
    parse: (operands, { json, reason }) => {
      const request = parseAuditRequest(operands, { json, reason });
      return "error" in request ? request : { command: "audit", request };
    },
  },
  "doctor": {
    options: ["json"],
    parse: (operands, { json }) => {
      const request = parseDoctorRequest(operands, { json });
      return "error" in request ? request : { command: "doctor", request };
    },
  },
  "top": {
    options: ["once"],
    parse: (operands, { once }) => {
      const request = parseTopRequest(operands, once);
      return "error" in request ? request : { command: "top", request };
    },
  },
  "flush": steeringGrammar("flush"),
  "pause": steeringGrammar("pause"),
  "resume": steeringGrammar("resume"),
  "drain": steeringGrammar("drain"),
};

function steeringGrammar(command: SteeringCommand): Grammar {
  return {
    options: [],
    parse: (operands) => operands.length === 0 ? { command } : refused(`${command} stands alone`),
  };
}

/** `error` is for the person who typed: what is wrong and where help is. */
export function parseCommandLine(args: readonly string[]): Command | Refused {
  let parsed;
  try {
    const flags = Object.fromEntries(Object.keys(FLAGS).map((flag) => [flag, BOOLEAN]));
    const options = { ...flags, ...OPTIONS };
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // What follows the first sentence is about arguments that begin with a hyphen: none here do.
    return refused(reasonOf(error).replace(/\. .*/s, ""));
  }
  const { values, positionals: [word, ...operands] } = parsed;
  const names = Object.keys(values);
  const flag = names.find((name): name is Flag => name in FLAGS);
  if (flag !== undefined) {
    const another = names.find((name) => name !== flag);
    const beside = word ?? (another && `--${another}`);
    if (beside === undefined) return { command: flag };
    return refused(`--${flag} stands alone, but ${beside} is there, too`);
  }
  if (word !== undefined && !isCommand(word)) {
    return refused(`unknown argument ${JSON.stringify(word)}`);
  }
  const foreign = (names as Option[]).find((name) =>
    word === undefined || !COMMANDS[word].options.includes(name)
  );
  if (foreign !== undefined) return refused(`--${foreign} belongs to ${ownersOf(foreign)}`);
  return word === undefined
    ? { command: "serve" }
    : COMMANDS[word].parse(operands, values as Given);
}

function isCommand(word: string): word is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, word);
}

function ownersOf(option: Option): string {
  const owners = Object.entries(COMMANDS).filter(([, { options }]) => options.includes(option));
  return owners.map(([word]) => word).join(" and ");
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
       dsproxy top
       dsproxy doctor …
Without a flag it serves until SIGTERM, SIGINT or SIGQUIT.

Flags:
${flags.join("")}
Rows that the database refused, of the instance running on this machine, by its admin socket:
${DEAD_LETTERS_USAGE}
What waits for the database, at the same instance:
${STEERING_USAGE}
The numbers of all writes held against the database, by the instance on this machine:
${AUDIT_USAGE}
How the instance on this machine is, and what is wrong, in a terminal:
${TOP_USAGE}
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
