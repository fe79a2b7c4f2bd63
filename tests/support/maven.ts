/**
 * Programs that are jars of Maven repositories. Fetched with mvn once, compared with the checksums
 * in their list, and kept in the user's cache folder for later runs. Nothing is resolved: the list
 * has every jar that is needed.
 */
import { installed, type Program } from "./installed.ts";
import { output } from "./services.ts";

export interface Jars {
  /** Names the folder in the cache: another list needs another name. */
  readonly name: string;
  /** The SHA-256 in hex of each `group:artifact:version`. */
  readonly checksums: Readonly<Record<string, string>>;
}

export const MAVEN: Program = { names: ["mvn"], folders: [], aptPackage: "maven" };

const PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/** The folder that has them. @throws Error saying how to get them by hand where mvn cannot */
export async function jarFolder(jars: Jars): Promise<string> {
  const folder = `${cacheFolder()}/${jars.name}`;
  if (await isFolder(folder)) return folder;
  await Deno.mkdir(cacheFolder(), { recursive: true });
  // Other test files want the same ones: the first gets them for all.
  using lock = await Deno.open(`${folder}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await isFolder(folder)) return folder;
  try {
    await fetchJars(jars, folder);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot get the jars of ${jars.name}: ${reason}. Tests need mvn and access to a Maven ` +
        `repository for them, or all of tests/support/*_jars.json in ${folder}`,
      { cause: error },
    );
  }
  return folder;
}

async function fetchJars({ name, checksums }: Jars, folder: string): Promise<void> {
  const mvn = await installed(MAVEN);
  await Deno.stderr.write(new TextEncoder().encode(`services: fetching ${name} with mvn\n`));
  const scratch = await Deno.makeTempDir({ dir: cacheFolder(), prefix: "fetching_" });
  try {
    await Deno.writeTextFile(`${scratch}/pom.xml`, projectOf(Object.keys(checksums)));
    const content = `${scratch}/content`;
    // Maven writes its errors where others write their results.
    await output("sh", [
      "-c",
      'exec "$@" >&2',
      "sh",
      mvn,
      "-Dstyle.color=never",
      "--batch-mode",
      "--quiet",
      `--file=${scratch}/pom.xml`,
      `${PLUGIN}:copy-dependencies`,
      "-DexcludeTransitive=true",
      `-DoutputDirectory=${content}`,
    ]);
    for (const [jar, expected] of Object.entries(checksums)) {
      const found = await sha256(`${content}/${fileOf(jar)}`);
      if (found !== expected) throw new Error(`${jar} has the SHA-256 ${found}, not ${expected}`);
    }
    await Deno.rename(content, folder);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

function projectOf(jars: readonly string[]): string {
  const dependencies = jars.map((jar) => {
    const [group, artifact, version] = jar.split(":");
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
      `<version>${version}</version></dependency>`;
  });
  return `<project><modelVersion>4.0.0</modelVersion><groupId>dsproxy</groupId>
<artifactId>jars</artifactId><version>1</version>
<dependencies>
${dependencies.join("\n")}
</dependencies></project>
`;
}

function fileOf(jar: string): string {
  const [, artifact, version] = jar.split(":");
  return `${artifact}-${version}.jar`;
}

async function sha256(path: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(digest).toHex();
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME, HOME } = Deno.env.toObject();
  if (!XDG_CACHE_HOME && !HOME) {
    throw new Error("Neither XDG_CACHE_HOME nor HOME is set: nowhere to keep what is fetched");
  }
  return `${XDG_CACHE_HOME || `${HOME}/.cache`}/dsproxy-tests`;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
