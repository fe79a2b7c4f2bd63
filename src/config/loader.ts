/**
 * Finds the text of every option in the environment, `.env`, a secret's file or the defaults, and
 * parses and checks it. Collects every problem instead of stopping at the first.
 */
import { join } from "node:path";
import { parse as parseDotenv } from "dotenv";
import {
  OPTION_NAMES,
  type OptionName,
  optionOf,
  RESERVED_NAMES,
  shown,
  type Values,
} from "./options.ts";
import { contradictions } from "./contradictions.ts";
import { type HostPort, InvalidValue } from "./parsers.ts";
import { impliedQueue } from "./queue.ts";
import { databaseUrl } from "./urls.ts";
import { reasonOf } from "../errors.ts";

interface ConfigProblem {
  readonly variable: string;
  /** Tells a person the value (a secret masked), what is wrong with it and what to do. */
  readonly message: string;
}

/** {@link describeConfig} shows an option as it is in effect. */
export interface Setting {
  readonly name: OptionName;
  /** A secret is masked; undefined when not set. */
  readonly shown: string | undefined;
  readonly origin: Origin;
}

/** A value came from here; `file` is the one that `NAME_FILE` names. */
export type Origin = "environment" | ".env" | "file" | "default" | "DATABASE_URL" | "REDIS_URL";

export interface ConfigProblems {
  readonly problems: readonly ConfigProblem[];
}

export interface CheckedOptions {
  readonly values: Values;
  /** They are the contents of the files that these options name, where they are used. */
  readonly rootCerts: Readonly<Partial<Record<OptionName, string>>>;
  /**
   * Returns DB_PASS as it is now: where a file holds it, that is read anew; while that cannot be,
   * the last one read holds.
   */
  readonly databasePassword: () => string;
  readonly settings: readonly Setting[];
}

/** The options are read from the process in production, and from plain values in tests. */
export interface ConfigSources {
  /** Returns a variable of the environment; throws when its value is not text. */
  readonly env: (name: string) => string | undefined;
  /** It is the content of `.env`; undefined when there is none. */
  readonly dotenvText?: string | undefined;
  /** Returns the text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string;
  readonly isTerminal: boolean;
  /** It replaces the default of PROXY_HOST. */
  readonly defaultHost?: string;
}

interface Found {
  readonly text: string | undefined;
  readonly origin: Origin;
  /** It leads to the file, where that is the origin. */
  readonly path?: string;
}

const DB_CONNECTION = [
  "DATABASE_URL",
  "DB_HOST",
  "DB_PORT",
  "DB_USER",
  "DB_PASS",
  "DB_NAME",
] as const;
const REDIS_CONNECTION = ["REDIS_ADDR", "REDIS_URL"] as const;

export class ConfigLoader {
  readonly #problems: ConfigProblem[] = [];
  readonly #found = new Map<OptionName, Found>();
  /** Those that have a problem are not in it. */
  readonly #values: Partial<Values> = {};
  readonly #layers: readonly {
    readonly origin: Origin;
    readonly get: (name: string) => string | undefined;
  }[];

  constructor(private readonly sources: ConfigSources) {
    const dotenv = parseDotenv(sources.dotenvText ?? "");
    this.#layers = [{ origin: "environment", get: sources.env }, {
      origin: ".env",
      get: (name) => dotenv[name],
    }];
  }

  load(): CheckedOptions | ConfigProblems {
    for (const name of OPTION_NAMES) this.#attempt(name, () => this.#read(name));
    this.#refuseReserved();
    this.#choose();
    this.#spreadUrls();
    const texts = (name: OptionName) => this.#found.get(name)?.text;
    // What could not be read contradicts nothing.
    const others = contradictions(this.#values, texts).filter(({ variable }) =>
      this.#problems.every((problem) => problem.variable !== variable)
    );
    this.#problems.push(...others);
    const rootCerts = this.#readRootCerts();
    if (this.#problems.length > 0) return { problems: this.#problems };
    // Without a problem every option has been parsed, or has neither a value nor a default.
    const databasePassword = this.#databasePassword();
    return {
      values: this.#values as Values,
      rootCerts,
      databasePassword,
      settings: this.#settings(),
    };
  }

  /** Whoever sets one of these believes to be protected by it. */
  #refuseReserved(): void {
    for (const variable of RESERVED_NAMES) {
      if (this.#layers.every(({ get }) => lookUp(get, variable) === undefined)) continue;
      const message =
        "is not supported by this version, which would run without that protection: unset it.";
      this.#problems.push({ variable, message });
    }
  }

  #attempt(variable: OptionName, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      this.#problems.push({ variable, message: error.message });
    }
  }

  #read(name: OptionName): void {
    const found = this.#find(name);
    this.#found.set(name, found);
    if (found.text === undefined) return;
    try {
      this.#set(name, optionOf(name).parse(found.text));
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      const from = found.origin === "file" ? ` (from the file that ${name}_FILE names)` : "";
      throw new InvalidValue(`${JSON.stringify(shown(name, found.text))}${from} ${error.message}.`);
    }
  }

  #find(name: OptionName): Found {
    const option = optionOf(name);
    for (const { origin, get } of this.#layers) {
      const text = lookUp(get, name, option.mayBeEmpty);
      const path = option.secret ? lookUp(get, `${name}_FILE`) : undefined;
      if (text !== undefined && path !== undefined) {
        throw new InvalidValue(`is set together with ${name}_FILE (${origin}); keep one of them.`);
      }
      if (text !== undefined) return { text, origin };
      if (path !== undefined) {
        return { text: this.#readSecret(path), origin: "file", path };
      }
    }
    const replaced = name === "PROXY_HOST" ? this.sources.defaultHost : undefined;
    return { text: replaced ?? option.default, origin: "default" };
  }

  /** Editors end a file with a line feed, which is no part of the secret. */
  #readSecret(path: string): string {
    return this.#readFile(path).replace(/\r?\n$/, "");
  }

  #readFile(path: string): string {
    try {
      return this.sources.readFile(path);
    } catch (error) {
      throw new InvalidValue(
        `The file ${JSON.stringify(path)} cannot be read: ${reasonOf(error)}.`,
      );
    }
  }

  /** Chooses for the settings whose default depends on others. */
  #choose(): void {
    const given = (name: OptionName) => this.#found.get(name)?.origin !== "default";
    this.#default("STORE", DB_CONNECTION.some(given) ? "postgres" : "sqlite");
    this.#default("CACHE", REDIS_CONNECTION.some(given) ? "redis" : "memory");
    if (!given("QUEUE")) {
      this.#attempt("QUEUE", () => this.#default("QUEUE", impliedQueue(given)));
    }
    const { DATA_DIR, KAFKA_USER } = this.#values;
    if (KAFKA_USER !== undefined && !given("KAFKA_SASL_MECHANISM")) {
      this.#default("KAFKA_SASL_MECHANISM", "PLAIN");
    }
    if (DATA_DIR !== undefined) this.#default("ADMIN_SOCKET", join(DATA_DIR, "admin.sock"));
    this.#default("LOG_FORMAT", this.sources.isTerminal ? "pretty" : "json");
  }

  #default(name: OptionName, value: string): void {
    if (this.#values[name] === undefined) this.#override(name, value, value, "default");
  }

  /** What a URL names replaces what the single variables say. */
  #spreadUrls(): void {
    const { DATABASE_URL: database, REDIS_URL: redis } = this.#values;
    const parts: [OptionName, string | readonly (string | number)[] | undefined][] = [
      ["DB_HOST", database?.hosts],
      ["DB_PORT", database?.ports],
      ["DB_USER", database?.user],
      ["DB_PASS", database?.password],
      ["DB_NAME", database?.database],
      ["DB_SSLMODE", database?.sslMode],
      ["DB_SSLROOTCERT", database?.sslRootCert],
      ["DB_TARGET_SESSION_ATTRS", database?.sessionAttrs],
    ];
    for (const [name, value] of parts) {
      if (value !== undefined) this.#override(name, value, String(value), "DATABASE_URL");
    }
    if (redis?.host !== undefined) {
      const address: HostPort = { host: redis.host, port: redis.port ?? 6379 };
      this.#override("REDIS_ADDR", address, `${redis.host}:${address.port}`, "REDIS_URL");
    }
    if (redis?.password !== undefined) {
      this.#override("REDIS_PASS", redis.password, redis.password, "REDIS_URL");
    }
  }

  #override(name: OptionName, value: unknown, text: string, origin: Origin): void {
    this.#set(name, value);
    this.#found.set(name, { text, origin });
  }

  #set(name: OptionName, value: unknown): void {
    Object.assign(this.#values, { [name]: value });
  }

  #readRootCerts(): CheckedOptions["rootCerts"] {
    const { STORE, QUEUE } = this.#values;
    const pems: Partial<Record<OptionName, string>> = {};
    const read = (name: OptionName, path: string | undefined) =>
      path !== undefined && this.#attempt(name, () => pems[name] = this.#readPem(path));
    if (STORE === "postgres") read("DB_SSLROOTCERT", this.#values.DB_SSLROOTCERT);
    if (QUEUE === "rabbitmq") read("RABBITMQ_SSLROOTCERT", this.#values.RABBITMQ_SSLROOTCERT);
    if (QUEUE === "kafka") read("KAFKA_SSLROOTCERT", this.#values.KAFKA_SSLROOTCERT);
    return pems;
  }

  #readPem(path: string): string {
    const pem = this.#readFile(path);
    if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
    throw new InvalidValue(`${JSON.stringify(path)} is not a file of certificates in PEM.`);
  }

  #databasePassword(): () => string {
    const { text = "", origin, path } = this.#found.get("DB_PASS")!;
    const urlPath = origin === "DATABASE_URL" ? this.#found.get("DATABASE_URL")?.path : undefined;
    const read = path !== undefined
      ? () => this.#readSecret(path)
      : urlPath !== undefined
      ? () => databaseUrl(this.#readSecret(urlPath)).password
      : () => text;
    let last = text;
    return () => {
      try {
        last = read() || last;
      } catch (error) {
        // The file is half written, or away for a moment while it is replaced: the server says
        // whether the last one still holds.
        if (!(error instanceof InvalidValue)) throw error;
      }
      return last;
    };
  }

  #settings(): Setting[] {
    return OPTION_NAMES.map((name) => {
      const { text, origin } = this.#found.get(name)!;
      return { name, shown: text === undefined ? undefined : shown(name, text), origin };
    });
  }
}

/**
 * Returns undefined for what is not set. Blanks around a value do not count, except where any text
 * is allowed.
 */
function lookUp(
  get: (name: string) => string | undefined,
  name: string,
  anyText = false,
): string | undefined {
  let text: string | undefined;
  try {
    text = get(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    // The reason would show the value, which may be a secret.
    throw new InvalidValue(`The value of ${name} is not valid UTF-8.`);
  }
  return anyText ? text : text?.trim() || undefined;
}
