/** Reads JSON out of the bytes of a body, strictly. */
import { AppError } from "../errors.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @throws AppError `invalid-json` for what is not UTF-8, or not JSON */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new AppError("invalid-json", "The body is not valid UTF-8.");
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError(
      "invalid-json",
      `The body is not valid JSON: ${(error as SyntaxError).message}`,
    );
  }
}
