/** A real Chromium with a profile of its own, without a screen. */
import { type Browser, chromium } from "playwright-core";
import { CHROMIUM, installed } from "../../support/installed.ts";

const START_LIMIT_MS = 60_000;

export class Chromium implements AsyncDisposable {
  private constructor(
    readonly browser: Browser,
    private readonly resources: AsyncDisposableStack,
  ) {}

  static async start(): Promise<Chromium> {
    await using resources = new AsyncDisposableStack();
    const profile = resources.adopt(
      await Deno.makeTempDir({ prefix: "dsproxy-chromium-" }),
      (path) => Deno.remove(path, { recursive: true }),
    );
    const process = new Deno.Command(await installed(CHROMIUM), {
      args: [
        ...["--headless=new", "--remote-debugging-port=0", `--user-data-dir=${profile}`],
        ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
        ...["--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--mute-audio"],
        // Its sandbox refuses to be root's.
        ...(Deno.uid() === 0 ? ["--no-sandbox"] : []),
        "about:blank",
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const log = process.stderr.pipeThrough(new TextDecoderStream()).getReader();
    resources.defer(async () => {
      process.kill("SIGKILL");
      await process.status;
      await log.cancel();
      await lastWrites();
    });
    const browser = await chromium.connectOverCDP(await debuggingUrl(log));
    resources.defer(() => browser.close());
    return new Chromium(browser, resources.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resources.disposeAsync();
  }
}

async function debuggingUrl(log: ReadableStreamDefaultReader<string>): Promise<string> {
  const late = setTimeout(() => void log.cancel(), START_LIMIT_MS);
  let text = "";
  try {
    for (;;) {
      const url = /DevTools listening on (ws:\S+)/.exec(text)?.[1];
      if (url !== undefined) return url;
      const { value, done } = await log.read();
      if (done) throw new Error(`Chromium does not start: ${text.slice(-2000)}`);
      text += value;
    }
  } finally {
    clearTimeout(late);
  }
}

/** Its helpers end a moment later, and until then may write into the profile. */
async function lastWrites(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 200));
}
