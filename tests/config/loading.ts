/** Configurations of the tests: from plain values to what the program would run with. */
import assert from "node:assert/strict";
import { type Config, loadConfig } from "../../src/config/config.ts";

export type Variables = Record<string, string>;

export function load(
  variables: Variables,
  { dotenv, files = {}, isTerminal = false, defaultHost }: {
    dotenv?: string;
    files?: Variables;
    isTerminal?: boolean;
    defaultHost?: string;
  } = {},
) {
  return loadConfig({
    env: (name) => variables[name],
    dotenvText: dotenv,
    readFile: (path) => {
      const text = Object.hasOwn(files, path) ? files[path] : undefined;
      if (text === undefined) throw new Deno.errors.NotFound(`no such file: ${path}`);
      return text;
    },
    isTerminal,
    ...(defaultHost !== undefined && { defaultHost }),
  });
}

export type Options = Parameters<typeof load>[1];

export function configOf(variables: Variables, options?: Options): Config {
  const loaded = load(variables, options);
  assert.ok("config" in loaded, `unexpected problems: ${JSON.stringify(loaded)}`);
  return loaded.config;
}

/** Each problem as "VARIABLE: message". */

export function problemsOf(variables: Variables, options?: Options): string[] {
  const loaded = load(variables, options);
  assert.ok("problems" in loaded, "problems were expected");
  return loaded.problems.map(({ variable, message }) => `${variable}: ${message}`);
}

export function assertProblem(variables: Variables, pattern: RegExp, options?: Options): void {
  const problems = problemsOf(variables, options);
  assert.equal(problems.length, 1, problems.join("\n"));
  assert.match(problems[0]!, pattern);
}

export function postgresOf(variables: Variables, options?: Options) {
  const { store } = configOf(variables, options);
  assert.equal(store.kind, "postgres");
  return store as Extract<Config["store"], { kind: "postgres" }>;
}

export function rabbitmqOf(variables: Variables, options?: Options) {
  const { queue } = configOf(variables, options);
  assert.equal(queue.kind, "rabbitmq");
  return queue as Extract<Config["queue"], { kind: "rabbitmq" }>;
}

export function kafkaOf(variables: Variables, options?: Options) {
  const { queue } = configOf(variables, options);
  assert.equal(queue.kind, "kafka");
  return queue as Extract<Config["queue"], { kind: "kafka" }>;
}

export function redisOf(variables: Variables, options?: Options) {
  const { cache } = configOf(variables, options);
  assert.equal(cache.kind, "redis");
  return cache as Extract<Config["cache"], { kind: "redis" }>;
}
