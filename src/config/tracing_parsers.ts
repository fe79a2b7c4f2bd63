/** Reads the values of OpenTelemetry's variables. */
import { InvalidValue } from "./parsers.ts";

/** Reads `http://host:4318/path`. A query or a login is refused: header fields are for secrets. */
export function otlpUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.hostname === "") {
    throw new InvalidValue("is not an http:// or https:// URL, such as http://localhost:4318");
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new InvalidValue(
      "has a login, a query or a fragment; keep scheme, host, port and path, and use " +
        "OTEL_EXPORTER_OTLP_HEADERS for a login",
    );
  }
  return value;
}

export function otlpProtocol(value: string): "http/protobuf" | "http/json" {
  if (value === "http/protobuf" || value === "http/json") return value;
  if (value === "grpc") {
    throw new InvalidValue(
      "is not supported; use http/protobuf, which the same receivers take, mostly on port 4318",
    );
  }
  throw new InvalidValue("is not known; choose http/protobuf, http/json");
}

/** Reads a number from 0 to 1. */
export function ratio(value: string): number {
  const number = /^(?:[0-9]{1,3}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})$/.test(value)
    ? Number(value)
    : NaN;
  if (number >= 0 && number <= 1) return number;
  throw new InvalidValue("is not a number from 0 to 1, such as 0.01");
}

/** Reads `key=value,key=value`, each of both percent-encoded where it has other characters. */
export function keyValues(value: string): Readonly<Record<string, string>> {
  const pairs = value.split(",").map((item) => item.trim()).filter((item) => item !== "");
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    const [key, text] = [decoded(pair.slice(0, at)), decoded(pair.slice(at + 1))];
    // What is wrong is not quoted: it may be part of a secret.
    if (at < 1 || key === undefined || text === undefined) {
      throw new InvalidValue("is not a list such as name=value,name=value");
    }
    return [key, text];
  }));
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    return undefined; // A percent sign with no two hex digits behind it.
  }
}
