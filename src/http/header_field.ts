/**
 * Reads one header field of a request. `request.headers` would do the same, but the server of the
 * runtime then makes objects of all fields, twice. So what the server itself asks is asked where it
 * is there; it is no part of the runtime's interface, and a test compares the two.
 */

interface ServedRequest {
  header?(name: string): string | null;
}

/** Under this symbol a request keeps what the server knows of it. */
const SERVED = Object.getOwnPropertySymbols(new Request("http://localhost"))
  .find(({ description }) => description === "request");

/**
 * Returns the values of all fields of this name, as `Headers.get` joins them; null when there is
 * none.
 * @param name in lower case
 */
export function headerField(request: Request, name: string): string | null {
  const served = SERVED === undefined
    ? undefined
    : (request as unknown as Record<symbol, ServedRequest | undefined>)[SERVED];
  return served?.header === undefined ? request.headers.get(name) : served.header(name);
}
