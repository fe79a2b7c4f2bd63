/** Asks the admin routes of the instance, and takes nothing but a good answer. */
import type { CallInstance } from "./instance_client.ts";

/** Returns the text of a good answer. @throws with the detail of any other */
export async function ask(
  call: CallInstance,
  method: "GET" | "POST" | "DELETE",
  path: string,
): Promise<string> {
  const { status, text } = await call(method, path);
  if (status === 200 || status === 202) return text;
  throw new Error(detailOf(text) ?? `answered with status ${status}`);
}

function detailOf(text: string): string | undefined {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === "string" ? detail : undefined;
  } catch {
    return undefined; // Not a problem document: the status has to do.
  }
}
