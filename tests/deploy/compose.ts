/** Reads the files of Docker Compose as it does: later ones are laid over earlier ones. */
import { parse, type YAMLSeq } from "yaml";

const FOLDER = new URL("../../deploy/compose/", import.meta.url);

/** `!reset` takes away what an earlier file has there. */
const RESET = Symbol("!reset");
/** `!override` takes its place, where else a list would be added to the earlier one. */
class Override {
  constructor(readonly value: unknown) {}
}

const TAGS = [
  { tag: "!reset", resolve: () => RESET },
  {
    tag: "!override",
    collection: "seq" as const,
    resolve: (list: unknown) => new Override((list as YAMLSeq).toJSON()),
  },
];

export interface Secret {
  readonly source: string;
  readonly target: string;
}

export interface ComposeService {
  readonly image: string;
  readonly build?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly (string | Secret)[];
  readonly volumes?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly networks: readonly string[] | Readonly<Record<string, { ipv4_address?: string }>>;
  readonly extra_hosts?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
  readonly read_only?: boolean;
  readonly user?: string;
  readonly privileged?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly ports?: readonly string[];
  readonly deploy?: { readonly replicas: number };
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

export async function composeText(name: string): Promise<string> {
  return await Deno.readTextFile(new URL(name, FOLDER));
}

export async function readCompose(...names: readonly string[]): Promise<ComposeFile> {
  const texts = await Promise.all(names.map(composeText));
  return texts.map(parseCompose).reduce(merge) as ComposeFile;
}

export function parseCompose(text: string): unknown {
  return parse(text, { merge: true, customTags: TAGS });
}

function merge(base: unknown, over: unknown): unknown {
  if (over instanceof Override) return over.value;
  if (Array.isArray(base) && Array.isArray(over)) return [...base, ...over];
  if (!isMapping(over)) return over;
  const merged: Record<string, unknown> = isMapping(base) ? { ...base } : {};
  for (const [key, value] of Object.entries(over)) {
    if (value === RESET) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Puts the default in place of `${NAME:-default}`, as where nobody has set anything. */
export function interpolated(text: string): string {
  return text.replaceAll(/\$\{\w+:-([^}]*)\}/g, "$1").replaceAll("$$", "$");
}
