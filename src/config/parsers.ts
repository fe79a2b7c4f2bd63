/**
 * A parser turns the text of one setting into its value. Every one throws {@link InvalidValue} with
 * words that complete "NAME=text: …", and knows nothing of where the text came from.
 */
import { utf8Length } from "../domain.ts";

/** The text cannot be used; the message says why and what to write instead. */
export class InvalidValue extends Error {
  override readonly name = "InvalidValue";
}

export type Parser<T> = (text: string) => T;

/** A path or a name may be any text without NUL. */
export function pathText(value: string): string {
  if (value.includes("\0")) throw new InvalidValue("contains a NUL character");
  return value;
}

export function oneOf<const T extends string>(...choices: readonly T[]): Parser<T> {
  return (value) => {
    const choice = choices.find((candidate) => candidate === value);
    if (choice !== undefined) return choice;
    const what = choices.length > 1
      ? `choose ${choices.join(", ")}`
      : `this build has only ${choices[0]}`;
    throw new InvalidValue(`is not known; ${what}`);
  };
}

export function integer(min: number, max: number): Parser<number> {
  return (value) =>
    inRange(/^[0-9]{1,15}$/.test(value) ? Number(value) : NaN, min, max, String, "a whole number");
}

/** Reads a TCP port to connect to. */
export const port: Parser<number> = integer(1, 65_535);

/** Reads a TCP port to listen on, 0 for any free one; Go's `:8080` too. */
export function listenPort(value: string): number {
  return integer(0, 65_535)(value.replace(/^:/, ""));
}

const MS_PER_UNIT = new Map([["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000], [
  "ms",
  1,
]]);

/**
 * Reads `250ms`, `1.5s`, `1m30s`, `30d`; a bare whole number is seconds. The result is in
 * milliseconds, rounded to a whole one.
 */
export function durationMs(min: number, max: number): Parser<number> {
  return (value) => {
    const written = /^[0-9]+$/.test(value) ? `${value}s` : value;
    const known = /^(?:[0-9]{1,15}(?:\.[0-9]{1,9})?(?:ms|[smhd]))+$/.test(written);
    let ms = known ? 0 : NaN;
    for (const [, amount, unit] of written.matchAll(/([0-9.]+)(ms|[smhd])/g)) {
      ms += Number(amount) * MS_PER_UNIT.get(unit!)!;
    }
    return inRange(
      Math.round(ms),
      min,
      max,
      formatDuration,
      "a duration such as 250ms, 2s or 1m30s",
    );
  };
}

/** Reads comma-separated durations, each of which is longer than the one before it; never none. */
export function ascendingDurationsMs(min: number, max: number): Parser<readonly number[]> {
  return (value) => {
    const durations = list(value).map(durationMs(min, max));
    if (durations.some((ms, i) => i > 0 && ms <= durations[i - 1]!)) {
      throw new InvalidValue("has one that is not longer than the one before it; sort them");
    }
    return durations;
  };
}

/** Returns the shortest text that {@link durationMs} reads as `ms`. */
export function formatDuration(ms: number): string {
  let rest = ms;
  let written = "";
  for (const [unit, size] of MS_PER_UNIT) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) written += `${amount}${unit}`;
  }
  return written || "0s";
}

const BYTES_PER_UNIT = new Map([
  ["tib", 2 ** 40],
  ["gib", 2 ** 30],
  ["mib", 2 ** 20],
  ["kib", 2 ** 10],
  ["tb", 1e12],
  ["gb", 1e9],
  ["mb", 1e6],
  ["kb", 1e3],
  ["b", 1],
  ["", 1],
]);

/** Reads `64KiB`, `1MB`, `1.5GiB` in any case, or bare bytes; the result is in whole bytes. */
export function sizeBytes(min: number, max: number): Parser<number> {
  return (value) => {
    const match = /^([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([a-z]*)$/i.exec(value);
    const unit = BYTES_PER_UNIT.get(match?.[2]?.toLowerCase() ?? "unknown");
    const bytes = match && unit ? Math.round(Number(match[1]) * unit) : NaN;
    return inRange(
      bytes,
      min,
      max,
      formatSize,
      "a size such as 64KiB, 1GiB, 1MB or a number of bytes",
    );
  };
}

/** Returns what {@link sizeBytes} reads as `bytes`, in the largest binary unit that divides it. */
export function formatSize(bytes: number): string {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]] as const) {
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}

function inRange(
  value: number,
  min: number,
  max: number,
  format: (value: number) => string,
  kind: string,
): number {
  if (Number.isNaN(value)) throw new InvalidValue(`is not ${kind}`);
  if (value < min || value > max) {
    throw new InvalidValue(`is out of range; use ${format(min)} to ${format(max)}`);
  }
  return value;
}

/** Reads a host name or an IP address; the brackets of an IPv6 address are taken off. */
export function host(value: string): string {
  const bare = /^\[(.*)\]$/.exec(value)?.[1] ?? value;
  const isName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,252}$/.test(value);
  const isIpv6 = /^[0-9A-Fa-f:.]+$/.test(bare) && URL.canParse(`http://[${bare}]`);
  if (!isName && !isIpv6) {
    throw new InvalidValue("is not one host name or IP address (without scheme, port or path)");
  }
  return bare;
}

/** Reads names, addresses or folders of Unix sockets of PostgreSQL, comma-separated; never none. */
export function hosts(value: string): readonly string[] {
  return list(value).map((item) => item.startsWith("/") ? pathText(item) : host(item));
}

/** Reads comma-separated ports to connect to; never none. */
export function ports(value: string): readonly number[] {
  return list(value).map(port);
}

function list(value: string): string[] {
  const items = value.split(",").map((item) => item.trim());
  if (items.includes("")) {
    throw new InvalidValue("has nothing before or after a comma; take the comma out");
  }
  return items;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `host`, `host:port` or `[::1]:port`.
 * @param urlOption takes a URL of the same server
 */
export function hostPort(defaultPort: number, urlOption?: string): Parser<HostPort> {
  return (value) => {
    if (value.includes("://")) {
      const instead = urlOption === undefined ? "" : `, or use ${urlOption}`;
      throw new InvalidValue(`is a URL; write host:port here${instead}`);
    }
    const match = /^(\[[^\]]*\]|[^:]*):([^:]*)$/.exec(value);
    return match
      ? { host: host(match[1]!), port: port(match[2]!) }
      : { host: host(value), port: defaultPort };
  };
}

/** Reads comma-separated servers, each as {@link hostPort} does; never none. */
export function hostPorts(defaultPort: number): Parser<readonly HostPort[]> {
  return (value) => list(value).map(hostPort(defaultPort));
}

/** Room is left for what is put behind the name for dead letters. */
const QUEUE_NAME_MAX_BYTES = 240;

/** Reads the name of a queue of RabbitMQ, which keeps those that begin with `amq.` for itself. */
export function queueName(value: string): string {
  const bytes = utf8Length(pathText(value));
  if (bytes > QUEUE_NAME_MAX_BYTES) {
    throw new InvalidValue(`has ${bytes} bytes; use ${QUEUE_NAME_MAX_BYTES} at most`);
  }
  if (value.startsWith("amq.")) {
    throw new InvalidValue("begins with amq., which RabbitMQ keeps for itself; choose another");
  }
  return value;
}

/** Reads the name of a topic of Kafka, and leaves room as {@link queueName} does. */
export function topicName(value: string): string {
  if (/^[a-zA-Z0-9._-]{1,240}$/.test(value) && !/^\.{1,2}$/.test(value)) return value;
  throw new InvalidValue(
    "is not the name of a topic; use 1 to 240 of the characters a-z, A-Z, 0-9, . _ -",
  );
}

/**
 * Reads comma-separated SHA-256 hashes in hex, each of which may have `admin:` before it: what a
 * key opens is written so where there are several kinds.
 */
export function keyHashes(value: string): readonly string[] {
  return list(value).map((item) => {
    const hash = item.replace(/^admin:/, "").toLowerCase();
    if (/^[0-9a-f]{64}$/.test(hash)) return hash;
    throw new InvalidValue(
      "is not a SHA-256 hash in hex (64 characters); make it of the key with " +
        "printf %s KEY | sha256sum",
    );
  });
}

/** Reads comma-separated origins, such as `https://app.example.com`. */
export function origins(value: string): readonly string[] {
  return value.split(",").map((item) => item.trim()).filter((item) => item !== "").map((item) => {
    const url = URL.canParse(item) ? new URL(item) : undefined;
    const isOrigin = url !== undefined && /^https?:\/\/[^/?#@]+\/?$/i.test(item);
    if (!isOrigin) {
      throw new InvalidValue(
        `has ${
          JSON.stringify(item)
        }, which is not an origin; name each, as in https://app.example.com`,
      );
    }
    return url.origin;
  });
}
