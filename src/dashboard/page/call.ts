/** Calls the server's API, and puts what it refuses into words. */

const LIMIT_MS = 30_000;

/** Its message is for who looks at the page. */
export class Refused extends Error {
  override readonly name = "Refused";
}

export interface Answer {
  readonly headers: Headers;
  readonly text: string;
}

/** @throws Refused with what the server says, or that it cannot be reached */
export async function call(path: string, init: RequestInit): Promise<Answer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      ...init,
      cache: "no-store",
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    text = await response.text();
  } catch {
    // The reason is the browser's, and says nothing that helps.
    throw new Refused("The server could not be reached. What was asked was done, or was not.");
  }
  const { status, headers } = response;
  if (status >= 400) throw new Refused(explain(status, text));
  return { headers, text };
}

function explain(status: number, text: string): string {
  try {
    const { detail, title } = JSON.parse(text) as { detail?: unknown; title?: unknown };
    if (typeof detail === "string") return detail;
    if (typeof title === "string") return title;
  } catch {
    // It is no problem document: perhaps of a proxy in between.
  }
  return `The server answered ${status}.`;
}
