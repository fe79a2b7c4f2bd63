/** Arguments → configuration → application → signals. */
import { checkConfiguration, createApp } from "./src/app.ts";
import { askReady, helpText, parseCommandLine } from "./src/command_line.ts";
import { describeConfig, loadConfigFromProcess } from "./src/config.ts";
import { reasonOf } from "./src/errors.ts";
import { VERSION } from "./src/version.ts";

const EXIT_FAILURE = 1;
/** EX_CONFIG of sysexits.h. */
const EXIT_BAD_CONFIGURATION = 78;

async function main(): Promise<number> {
  const parsed = parseCommandLine(Deno.args);
  if ("error" in parsed) return fail(parsed.error, EXIT_FAILURE);
  if (parsed.command === "help") return print(helpText(VERSION));
  if (parsed.command === "version") return print(`dsproxy ${VERSION} (Deno ${Deno.version.deno})`);

  const loaded = loadConfigFromProcess();
  if ("problems" in loaded) {
    const lines = loaded.problems.map(({ variable, message }) => `  ${variable}: ${message}`);
    return fail(["The configuration has problems:", ...lines].join("\n"), EXIT_BAD_CONFIGURATION);
  }
  switch (parsed.command) {
    case "print-config":
      return print(describeConfig(loaded.settings));
    case "check-config": {
      const { ok, report } = await checkConfiguration(loaded.config);
      return ok ? print(report) : fail(report, EXIT_BAD_CONFIGURATION);
    }
    case "ready": {
      const { ok, message } = await askReady(loaded.config);
      return ok ? print(message) : fail(message, EXIT_FAILURE);
    }
    case "serve":
      return await serve(loaded.config);
  }
}

async function serve(config: Parameters<typeof createApp>[0]): Promise<number> {
  const app = createApp(config);
  let stopping = false;
  const stopRequested = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => {
        if (stopping) Deno.exit(EXIT_FAILURE);
        stopping = true;
        resolve();
      });
    }
  });
  await app.start();
  await stopRequested;
  await app.stop();
  return 0;
}

function print(text: string): number {
  Deno.stdout.writeSync(new TextEncoder().encode(text.trimEnd() + "\n"));
  return 0;
}

function fail(text: string, code: number): number {
  Deno.stderr.writeSync(new TextEncoder().encode(text.trimEnd() + "\n"));
  return code;
}

Deno.exit(await main().catch((error) => fail(`dsproxy: ${reasonOf(error)}`, EXIT_FAILURE)));
