/** Goes from the arguments to the configuration, the application and the signals that end it. */
import { createApp } from "./src/app.ts";
import { AUDIT_LIMIT_MS, runAudit } from "./src/cli/audit.ts";
import { explainWrongStore, runChangeStore } from "./src/cli/change_store.ts";
import { checkConfiguration } from "./src/cli/check_configuration.ts";
import { type Command, helpText, parseCommandLine } from "./src/cli/command_line.ts";
import { type Config, describeConfig, loadConfigFromProcess } from "./src/config/config.ts";
import { personAtTerminal } from "./src/cli/person.ts";
import { runDeadLetters } from "./src/cli/dead_letters.ts";
import { runDoctor } from "./src/cli/doctor.ts";
import { reasonOf } from "./src/errors.ts";
import { adminCaller, askReady, openCaller } from "./src/cli/instance_client.ts";
import { describeSchema } from "./src/parts.ts";
import { isSteeringCommand, runSteering } from "./src/cli/steering.ts";
import { runTop, terminal, TOP_LIMIT_MS, topOnce } from "./src/cli/top.ts";
import { listenToSignals } from "./src/cli/signals.ts";
import { WrongStoreError } from "./src/guarding/store_binding.ts";
import { Log } from "./src/telemetry/log.ts";
import { VERSION } from "./src/version.ts";

const EXIT_FAILURE = 1;
/** This is EX_CONFIG of sysexits.h. */
const EXIT_BAD_CONFIGURATION = 78;

async function main(): Promise<number> {
  const parsed = parseCommandLine(Deno.args);
  if ("error" in parsed) return fail(parsed.error, EXIT_FAILURE);
  if (parsed.command === "help") return print(helpText(VERSION));
  if (parsed.command === "version") return print(`dsproxy ${VERSION} (Deno ${Deno.version.deno})`);

  const loaded = loadConfigFromProcess(parsed.command === "dev" ? "127.0.0.1" : undefined);
  if ("problems" in loaded) {
    const lines = loaded.problems.map(({ variable, message }) => `  ${variable}: ${message}`);
    return fail(["The configuration has problems:", ...lines].join("\n"), EXIT_BAD_CONFIGURATION);
  }
  const { config, settings } = loaded;
  if (parsed.command === "print-schema") {
    const schema = describeSchema(config);
    return schema === undefined
      ? fail("dsproxy: the embedded store needs none.", EXIT_FAILURE)
      : print(schema);
  }
  if (parsed.command === "print-config") return print(describeConfig(settings));
  if (parsed.command === "serve" || parsed.command === "dev") return await serve(config);
  const { ok, message, exitCode = 0 } = await carryOut(parsed, config);
  return ok
    ? print(message) || exitCode
    : fail(message, parsed.command === "check-config" ? EXIT_BAD_CONFIGURATION : EXIT_FAILURE);
}

function carryOut(
  parsed: Command,
  config: Config,
): Promise<{ ok: boolean; message: string; exitCode?: number }> {
  if (parsed.command === "audit") {
    return runAudit(parsed.request, adminCaller(config, AUDIT_LIMIT_MS));
  }
  if (parsed.command === "doctor") return runDoctor(parsed.request, config);
  if (parsed.command === "dead-letters") {
    return runDeadLetters(parsed.request, adminCaller(config), personAtTerminal());
  }
  if (isSteeringCommand(parsed.command)) return runSteering(parsed.command, adminCaller(config));
  if (parsed.command === "top") return showTop(parsed.request.once, config);
  if (parsed.command === "change-store") return runChangeStore(config);
  return parsed.command === "ready" ? askReady(config) : checkConfiguration(config);
}

async function showTop(once: boolean, config: Config): Promise<{ ok: boolean; message: string }> {
  const call = openCaller(config, TOP_LIMIT_MS);
  if (once) return await topOnce(call);
  const { screen, signal } = terminal();
  await runTop(call, screen, signal);
  return { ok: true, message: "" };
}

async function serve(config: Config): Promise<number> {
  const stopRequested = listenToSignals(
    new Log(config.log.level, config.log.format),
    () => Deno.exit(EXIT_FAILURE),
  );
  const app = await createApp(config);
  try {
    await app.start();
  } catch (error) {
    if (!(error instanceof WrongStoreError)) throw error;
    return fail(`dsproxy: ${await explainWrongStore(config, error)}`, EXIT_BAD_CONFIGURATION);
  }
  await stopRequested;
  return await app.stop().then(() => 0);
}

function print(text: string, to: Pick<typeof Deno.stdout, "writeSync"> = Deno.stdout): number {
  to.writeSync(new TextEncoder().encode(text.trimEnd() + "\n"));
  return 0;
}

function fail(text: string, code: number): number {
  return print(text, Deno.stderr) || code;
}

Deno.exit(await main().catch((error) => fail(`dsproxy: ${reasonOf(error)}`, EXIT_FAILURE)));
