/**
 * Says how a service is asked, so that another one than this can be measured: see "Add a side" in
 * docs/benchmarks.md. `{user}` stands for the number of a random user, `{n}` for a number that
 * grows with each request.
 */
export interface OneRequest {
  readonly method: string;
  /** It begins with a slash. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface RequestTemplate {
  readonly write: OneRequest;
  readonly read: OneRequest;
}

export const OWN_REQUESTS: RequestTemplate = {
  write: {
    method: "POST",
    path: "/write",
    headers: { "content-type": "application/json" },
    body: '{"user_id":"user{user}","value":"value {n}"}',
  },
  read: { method: "GET", path: "/read?user_id=user{user}" },
};

/** What a browser sends beside the headers that a script needs. */
export const BROWSER_HEADERS: Readonly<Record<string, string>> = {
  "user-agent":
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 " +
    "Safari/537.36",
  "accept": "*/*",
  "accept-encoding": "gzip, deflate, br, zstd",
  "accept-language": "en-GB,en;q=0.9,de;q=0.8",
  "cache-control": "no-cache",
  "cookie": "session=5f0c1d9e7a3b4c2d8e6f; theme=dark; consent=all",
  "dnt": "1",
  "pragma": "no-cache",
  "priority": "u=1, i",
  "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24"',
  "sec-ch-ua-mobile": "?0",
  "sec-ch-ua-platform": '"Linux"',
  "sec-fetch-dest": "empty",
  "sec-fetch-mode": "cors",
  "sec-fetch-site": "none",
};

/** @throws Error when the text is no template, saying what is missing */
export function parseTemplate(text: string): RequestTemplate {
  const { write, read } = JSON.parse(text) as Partial<RequestTemplate>;
  for (const [name, request] of Object.entries({ write, read })) {
    if (typeof request?.method !== "string" || !request.path?.startsWith("/")) {
      throw new Error(`A template needs "${name}" with "method" and a "path" that begins with /`);
    }
  }
  return { write: write!, read: read! };
}

/** Returns the request as it is sent by number `n` for a user. */
export function filled(text: string, user: number, n: number): string {
  return text.replaceAll("{user}", `${user}`).replaceAll("{n}", `${n}`);
}
