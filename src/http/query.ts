/** Reads the query of a URL strictly: what is not clear is refused. */
import { AppError } from "../errors.ts";

/**
 * Returns the parameters of a query by their names.
 * @throws AppError `invalid-parameter` for a repeated name or text that is not percent-encoded
 *   UTF-8
 */
export function parseQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  if (query === "") return parameters;
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (parameters.has(name)) {
      throw new AppError("invalid-parameter", `The parameter ${name} is given more than once.`);
    }
    parameters.set(name, equals < 0 ? "" : decode(pair.slice(equals + 1)));
  }
  return parameters;
}

function decode(text: string): string {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new AppError(
      "invalid-parameter",
      `"${text.slice(0, 64)}" in the query is not percent-encoded UTF-8.`,
    );
  }
}
