/** Holds what a layout tells the service against the service's own reading of its configuration. */
import { type Config, loadConfig } from "../../src/config/config.ts";
import { environmentNames } from "../../src/config/options.ts";
import { durationMs } from "../../src/config/parsers.ts";

export type Settings = Readonly<Record<string, string>>;

/** These files have such a content, by what a layout calls them. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/database-url/, "postgres://user:secret@postgres/dsproxy"],
  [/redis-url/, "redis://:secret@redis:6379/0"],
  [/rabbitmq[-_]url/, "amqps://user:secret@rabbitmq0,rabbitmq1/vhost"],
  [/\.crt$/, "-----BEGIN CERTIFICATE-----"],
  [/password/, "secret"],
];

export type Judged =
  & { readonly problems: readonly string[] }
  & Partial<{ readonly config: Config }>;

/**
 * @param isThere says whether a file of the container has anything in it
 * @returns the configuration, or what the service would say, or not even notice
 */
export function judge(settings: Settings, isThere: (path: string) => boolean): Judged {
  const known = new Set(environmentNames());
  const unknown = Object.keys(settings).filter((name) => !known.has(name));
  const loaded = loadConfig({
    env: (name) => settings[name],
    readFile: (path) => {
      const content = SECRETS.find(([pattern]) => pattern.test(path))?.[1];
      if (!isThere(path) || content === undefined) throw new Error(`there is no file ${path}`);
      return content;
    },
    isTerminal: false,
  });
  const problems = unknown.map((name) => `${name}: no option is called so`);
  if (!("problems" in loaded)) return { problems, config: loaded.config };
  return {
    problems: [
      ...problems,
      ...loaded.problems.map(({ variable, message }) => `${variable}: ${message}`),
    ],
  };
}

export function milliseconds(duration: string): number {
  return durationMs(0, Number.MAX_SAFE_INTEGER)(duration);
}

/** An image that will be the same one tomorrow, as far as its name can say so. */
export function isPinned(image: string): boolean {
  return /:v?\d+\.\d+(\.\d+)?(-[\w.]+)?$/.test(image);
}
