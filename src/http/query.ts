/** Reads the query of a URL strictly: what is not clear is refused. */
import { AppError } from "../errors.ts";

/**
 * Returns the parameters of a query by their names.
 * @throws AppError `invalid-parameter` for a repeated name or text that is not percent-encoded
 *   UTF-8
 */
export function parseQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (let from = 0; from < query.length;) {
    const ampersand = query.indexOf("&", from);
    const end = ampersand < 0 ? query.length : ampersand;
    if (end > from) addParameter(parameters, query, from, end);
    from = end + 1;
  }
  return parameters;
}

function addParameter(
  parameters: Map<string, string>,
  query: string,
  from: number,
  end: number,
): void {
  const equals = query.indexOf("=", from);
  const hasValue = equals >= 0 && equals < end;
  const name = decode(query.slice(from, hasValue ? equals : end));
  if (parameters.has(name)) {
    throw new AppError("invalid-parameter", `The parameter ${name} is given more than once.`);
  }
  parameters.set(name, hasValue ? decode(query.slice(equals + 1, end)) : "");
}

function decode(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new AppError(
      "invalid-parameter",
      `"${text.slice(0, 64)}" in the query is not percent-encoded UTF-8.`,
    );
  }
}
