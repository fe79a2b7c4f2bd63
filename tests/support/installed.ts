/**
 * Finds the programs of the real services that tests need. Where one is missing, and this process
 * may (root on a system with apt), its package is installed; else the error says what to install or
 * which variable to set.
 */

export interface Program {
  /** Names of the program, the preferred one first. */
  readonly names: readonly string[];
  /** Folders that distributions use outside PATH; `*` stands for one folder name. */
  readonly folders: readonly string[];
  /** The package of Debian and Ubuntu that has it. */
  readonly aptPackage: string;
  /** Names a running server to be used instead. */
  readonly urlVariable?: string;
}

export const POSTGRES = {
  names: ["postgres"],
  folders: ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"],
  aptPackage: "postgresql",
  urlVariable: "TEST_DATABASE_URL",
} as const satisfies Program;

export const REDIS = {
  names: ["redis-server", "valkey-server"],
  folders: [],
  aptPackage: "redis-server",
  urlVariable: "TEST_REDIS_URL",
} as const satisfies Program;

export const RABBITMQ: Program = {
  names: ["rabbitmq-server"],
  folders: ["/usr/sbin", "/usr/lib/rabbitmq/bin"],
  aptPackage: "rabbitmq-server",
};

export const PGBOUNCER: Program = {
  names: ["pgbouncer"],
  folders: ["/usr/sbin"],
  aptPackage: "pgbouncer",
};

export const NGINX: Program = {
  names: ["nginx"],
  folders: ["/usr/sbin"],
  aptPackage: "nginx-light",
};

/** `promtool` is in the same package. */
export const PROMETHEUS: Program = {
  names: ["prometheus"],
  folders: [],
  aptPackage: "prometheus",
};

export const PROMTOOL: Program = { ...PROMETHEUS, names: ["promtool"] };

export const WRK: Program = { names: ["wrk"], folders: [], aptPackage: "wrk" };

/** Debian's Chromium; a browser that a package manager of ours would bring is another one. */
export const CHROMIUM: Program = {
  names: ["chromium", "chromium-browser", "google-chrome"],
  folders: [],
  aptPackage: "chromium",
};

/**
 * Installs those that are missing, one after the other, where this process may: test files, which
 * run side by side, would get in each other's way. What cannot be installed is left to the tests
 * that need it, and their error.
 */
export async function installMissing(programs: readonly Program[]): Promise<void> {
  if (!await mayInstall()) return;
  for (const program of programs) {
    if (await find(program) === undefined) await aptInstall(program.aptPackage);
  }
}

async function mayInstall(): Promise<boolean> {
  return Deno.uid() === 0 && await find({ names: ["apt-get"], folders: [] }) !== undefined;
}

/** The full path of a program, which is installed first if need be. */
export async function installed(program: Program): Promise<string> {
  const found = await find(program);
  if (found !== undefined) return found;
  const names = program.names.join(" or ");
  const instead = program.urlVariable === undefined
    ? ""
    : `, or set ${program.urlVariable} to a running server`;
  const help = `Install ${program.aptPackage} or put ${names} on PATH${instead}`;
  if (!await mayInstall()) throw new Error(`Cannot find ${names}. ${help}`);
  await aptInstall(program.aptPackage);
  const now = await find(program);
  if (now === undefined) {
    throw new Error(`Package ${program.aptPackage} was installed, but has no ${names}. ${help}`);
  }
  return now;
}

/** The full path of a program; undefined where this system has none. */
export async function find(
  { names, folders }: Pick<Program, "names" | "folders">,
): Promise<string | undefined> {
  const onPath = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  for (const folder of [...onPath, ...await expand(folders)]) {
    for (const name of names) {
      const path = `${folder}/${name}`;
      if (await isFile(path)) return path;
    }
  }
}

/** Folders that exist; of several versions the newest comes first. */
async function expand(patterns: readonly string[]): Promise<string[]> {
  const folders: string[] = [];
  for (const pattern of patterns) {
    if (!pattern.includes("*")) {
      folders.push(pattern);
      continue;
    }
    const [before, after] = [
      pattern.slice(0, pattern.indexOf("*")),
      pattern.slice(pattern.indexOf("*") + 1),
    ];
    const parent = before.slice(0, before.lastIndexOf("/"));
    const prefix = before.slice(parent.length + 1);
    const versions = (await list(parent)).filter((name) => name.startsWith(prefix));
    versions.sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
    folders.push(...versions.map((name) => `${parent}/${name}${after}`));
  }
  return folders;
}

async function list(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  } catch {
    return []; // No such folder on this system.
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** Installs without starting the package's own service: tests start what they need themselves. */
async function aptInstall(name: string): Promise<void> {
  await Deno.stderr.write(new TextEncoder().encode(`services: installing ${name} with apt-get\n`));
  const policy = "/usr/sbin/policy-rc.d";
  const ours = !await isFile(policy);
  try {
    if (ours) await Deno.writeTextFile(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    await apt("update");
    await apt("install", "--yes", "--no-install-recommends", name);
  } finally {
    if (ours) await Deno.remove(policy);
  }
}

async function apt(...args: string[]): Promise<void> {
  const output = await new Deno.Command("apt-get", {
    args: ["-qq", ...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
  }).output();
  if (output.success) return;
  const reason = new TextDecoder().decode(output.stderr).trim().slice(-2000);
  throw new Error(`apt-get ${args.join(" ")} failed with code ${output.code}: ${reason}`);
}
