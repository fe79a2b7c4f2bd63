/**
 * `deno task demo`: the service with a database and traffic of its own, its page, and on the way an
 * outage of the database and a row that it refuses. It ends after some minutes, or with Ctrl-C, and
 * leaves nothing behind.
 */
import { parseArgs } from "node:util";
import { delay, freePort } from "../support/services.ts";
import { DemoWorld } from "./world.ts";

const CALM_MS = 15_000;
const OUTAGE_MS = 20_000;
const USUAL_PORT = 8080;

const { values: { minutes, "no-open": noOpen } } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    "no-open": { type: "boolean", default: false },
  },
});

const startedMs = performance.now();
const over = new Promise<"over">((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => resolve("over"));
  }
  setTimeout(() => resolve("over"), Number(minutes) * 60_000);
});

function say(line: string): void {
  const at = Math.round((performance.now() - startedMs) / 1000);
  const time = `${Math.floor(at / 60)}:${String(at % 60).padStart(2, "0")}`;
  Deno.stdout.writeSync(new TextEncoder().encode(`${time}  ${line}\n`));
}

/** @throws Over when the time is up, or it was interrupted: no more of the story is told then */
async function pause(ms: number): Promise<void> {
  const waited = delay(ms).then(() => "waited" as const);
  if (await Promise.race([waited, over]) === "over") throw new Over();
}

class Over extends Error {}

/** The usual port where it is free, so that the address is the one of the README. */
function choosePort(): number {
  try {
    Deno.listen({ hostname: "127.0.0.1", port: USUAL_PORT }).close();
    return USUAL_PORT;
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    return freePort();
  }
}

function openPage(url: string): void {
  const hasScreen = Deno.build.os !== "linux" ||
    ["DISPLAY", "WAYLAND_DISPLAY"].some((name) => Deno.env.get(name));
  if (noOpen || !hasScreen || !Deno.stdout.isTerminal()) return;
  const [command, ...args] = Deno.build.os === "darwin"
    ? ["open"]
    : Deno.build.os === "windows"
    ? ["cmd", "/c", "start"]
    : ["xdg-open"];
  try {
    new Deno.Command(command!, { args: [...args, url], stdout: "null", stderr: "null" })
      .spawn().unref();
  } catch {
    // Nothing here opens pages: the address is printed, and is enough.
  }
}

async function tell(world: DemoWorld): Promise<void> {
  const { store } = world;
  say(`The page: ${world.url}/dashboard`);
  say(`The admin key, for what the page can do: ${world.adminKey}`);
  openPage(`${world.url}/dashboard`);
  world.traffic.start();
  say("Traffic begins: some 60 writes and 180 reads a second. All is well.");
  await pause(CALM_MS);
  await world.writePoison("poison-1");
  say("One write has a value that the database refuses. Its neighbours are stored; it becomes a");
  say("dead letter, with the reason. The page tells of it, and can replay or discard it.");
  await pause(CALM_MS);
  await store.takeAway();
  say(`${store.name} is taken away. Watch the sentence on top: writes are accepted, and wait.`);
  await pause(OUTAGE_MS);
  await store.bringBack();
  say(`${store.name} is back. What waited is stored, each write once.`);
  await pause(CALM_MS);
  await store.acceptAllValues();
  say(
    "The database takes long values now: type the admin key into the page, find the dead letter,",
  );
  say("and replay it.");
  say(`That is all. It goes on until ${minutes} minutes are over, or until Ctrl-C.`);
  await over;
}

async function main(): Promise<number> {
  if (!(Number(minutes) > 0 && Number(minutes) <= 600)) {
    say(`--minutes=${minutes} must be a number from 0 to 600.`);
    return 1;
  }
  say("Starting a database and the service …");
  await using world = await DemoWorld.start(choosePort());
  try {
    await tell(world);
  } catch (error) {
    if (!(error instanceof Over)) throw error;
  }
  say("Stopping, and removing what it has made.");
  return 0;
}

Deno.exit(await main());
