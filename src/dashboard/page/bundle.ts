/**
 * `deno task bundle`: makes of the page's sources the one module that is served, so that the page
 * is in the program, compiled or not, and nothing is built when it starts. With `--print` it is
 * only printed.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const MADE = fileURLToPath(new URL("../bundled_page.ts", import.meta.url));

/** The module's text, which depends on the sources and the version of the runtime alone. */
async function bundledModule(): Promise<string> {
  const [script, stream, style, icon, html] = await Promise.all([
    bundle("main.ts"),
    bundle("stream.ts"),
    styles(),
    read("icon.svg"),
    read("index.html"),
  ]);
  const build = createHash("sha256").update(script).update(stream).digest("hex").slice(0, 12);
  const page = html.replace("<html ", `<html data-build="${build}" `);
  const files = {
    "page.html": page,
    "page.js": script,
    "stream.js": stream,
    "page.css": style,
    "icon.svg": icon,
  };
  const lines = Object.entries(files).map(([name, text]) =>
    `  ${JSON.stringify(name)}: ${JSON.stringify(text)},\n`
  );
  return "// Made by `deno task bundle` of what is in page/. Not to be edited.\n" +
    `export const BUNDLED_PAGE = {\n${lines.join("")}} as const;\n`;
}

function read(name: string): Promise<string> {
  return Deno.readTextFile(HERE + name);
}

async function bundle(name: string): Promise<string> {
  return await run("bundle", "--quiet", "--platform", "browser", "--minify", name);
}

/** The library's own ones come first, from the package that the lock pins. */
async function styles(): Promise<string> {
  const plot = fileURLToPath(import.meta.resolve("uplot")).replace(/[^/]+$/, "uPlot.min.css");
  const own = ["colours.css", "page.css", "parts.css", "states.css"].map((name) => HERE + name);
  return (await Promise.all([plot, ...own].map((path) => Deno.readTextFile(path)))).join("\n");
}

async function run(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [args[0]!, "--config", `${HERE}deno.json`, ...args.slice(1)],
    cwd: HERE,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  }).output();
  const text = new TextDecoder();
  if (success) return text.decode(stdout);
  throw new Error(`The page cannot be bundled: ${text.decode(stderr).trim().slice(-2000)}`);
}

if (import.meta.main) {
  const text = await bundledModule();
  if (Deno.args.includes("--print")) await new Response(text).body!.pipeTo(Deno.stdout.writable);
  else await Deno.writeTextFile(MADE, text);
}
