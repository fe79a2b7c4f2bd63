/**
 * The Unix socket of the admin routes, which only processes of the same user can open: where it is,
 * how it comes to be there, and how the command line finds it.
 */
import { basename, dirname, join } from "node:path";
import { utf8Length } from "../domain.ts";
import { reasonOf } from "../errors.ts";
import type { Log } from "../telemetry/log.ts";
import { Listener, onBrokenAnswer } from "./listener.ts";

/** Linux has room for so many in `sockaddr_un` before the NUL; other systems have a few less. */
const MAX_PATH_BYTES = Deno.build.os === "linux" ? 107 : 103;
/** The socket gets its mode here, and is moved to its place; this path is seldom the longer one. */
const WORKSHOP = ".sock/s";
/** This file in DATA_DIR says where the socket is while that is not where it was to be. */
const POINTER_FILE = "admin.sock.path";
const REPLACEMENT_PREFIX = "dsproxy-";
const REPLACEMENT_NAME = "admin.sock";

interface AdminSocketOptions {
  /** The socket is to be here; where it really is, {@link findAdminSocket} says. */
  readonly path: string;
  readonly dataDir: string;
  readonly log: Log;
  readonly handle: (request: Request) => Promise<Response>;
}

/** Another process answers at this path: it is not to be replaced. */
export class SocketInUseError extends Error {
  override readonly name = "SocketInUseError";

  constructor(path: string) {
    super(
      `Another process answers at the admin socket ${path}: stop it, or set another ADMIN_SOCKET`,
    );
  }
}

export class AdminSocket {
  readonly #listener: Listener<Deno.UnixAddr>;
  #path: string;
  #inode: number | null = null;

  constructor(private readonly options: AdminSocketOptions) {
    this.#path = options.path;
    this.#listener = new Listener(() => this.#bind(), options.log);
  }

  /**
   * Listens at the path that was asked for, or where no socket can be there, in a fresh directory
   * that is this user's alone. Without either the service does without, as it serves all the same.
   * To be called once the data directory is this process's alone.
   * @throws SocketInUseError
   */
  async start(): Promise<void> {
    const { dataDir, log, path } = this.options;
    try {
      await removeReplacement(dataDir);
      const reason = await this.#listenAt(path);
      if (reason !== undefined) {
        log.warn("The admin socket cannot be where it was to be", {
          event: "admin-socket",
          ...{ wanted: path, reason },
        });
        await this.#listenElsewhere();
      }
      log.info(`Admin routes listening on the socket ${this.#path}`, { event: "admin-socket" });
    } catch (error) {
      if (error instanceof SocketInUseError) throw error;
      log.error("There is no admin socket: the commands for this instance will not work", {
        event: "admin-socket",
        wanted: path,
        error,
      });
    }
  }

  /** Takes the socket away, and resolves when the requests under way are answered. */
  async stop(): Promise<void> {
    try {
      await this.#remove();
    } catch (error) {
      // The next start finds it stale, and takes its place.
      this.options.log.warn("The admin socket cannot be removed", {
        event: "admin-socket",
        path: this.#path,
        error,
      });
    }
    await this.#listener.stop();
  }

  /** Leaves it where another process has put its own meanwhile. */
  async #remove(): Promise<void> {
    const file = await orAbsent(Deno.lstat(this.#path));
    if (file === undefined || file.ino !== this.#inode) return;
    await Deno.remove(this.#path);
    await removeReplacement(this.options.dataDir);
  }

  async #listenElsewhere(): Promise<void> {
    const folder = await Deno.makeTempDir({ prefix: REPLACEMENT_PREFIX });
    const reason = await this.#listenAt(join(folder, REPLACEMENT_NAME));
    if (reason !== undefined) {
      await Deno.remove(folder);
      throw new Error(reason);
    }
    const pointer = join(this.options.dataDir, POINTER_FILE);
    await Deno.writeTextFile(pointer, this.#path, { mode: 0o600 });
  }

  /** Returns why the socket cannot be there; undefined when it is. */
  async #listenAt(path: string): Promise<string | undefined> {
    this.#path = path;
    if (!fits(path)) return `a path of ${utf8Length(path)} bytes is too long for a socket`;
    try {
      await this.#listener.start();
    } catch (error) {
      if (error instanceof SocketInUseError) throw error;
      return reasonOf(error);
    }
  }

  /**
   * The socket is made in a directory that nobody else may enter, and moved to its place with its
   * mode on: there is no moment in which others could open it, nor one in which a stale one is gone
   * and the new one is not there.
   */
  async #bind(): Promise<Deno.HttpServer<Deno.UnixAddr>> {
    await refuseWhatIsNotStale(this.#path);
    const inWorkshop = join(dirname(this.#path), WORKSHOP);
    await makeWorkshop(inWorkshop);
    const onError = onBrokenAnswer(this.options.log);
    const options = { path: inWorkshop, onListen: () => {}, onError };
    const server = Deno.serve(options, this.options.handle);
    try {
      await Deno.chmod(inWorkshop, 0o600);
      this.#inode = (await Deno.lstat(inWorkshop)).ino;
      await Deno.rename(inWorkshop, this.#path);
    } catch (error) {
      await server.shutdown();
      throw error;
    } finally {
      await removeWorkshop(inWorkshop);
    }
    return server;
  }
}

/** Tells who wants to call the running instance where it has its admin socket. */
export async function findAdminSocket(
  { path, dataDir }: Pick<AdminSocketOptions, "path" | "dataDir">,
): Promise<string> {
  return await readPointer(dataDir) ?? path;
}

function fits(path: string): boolean {
  const longest = Math.max(utf8Length(path), utf8Length(join(dirname(path), WORKSHOP)));
  return longest <= MAX_PATH_BYTES;
}

async function refuseWhatIsNotStale(path: string): Promise<void> {
  const file = await orAbsent(Deno.lstat(path));
  if (file === undefined) return;
  if (!file.isSocket) throw new Error(`${path} is there, and no socket`);
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return; // Whoever made it is dead.
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new SocketInUseError(path);
}

/** Only a process that was killed in that very moment has left one. */
async function makeWorkshop(socket: string): Promise<void> {
  try {
    await Deno.mkdir(dirname(socket), { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    await removeWorkshop(socket);
    // It is made anew and not taken over, because what is there could be anybody's.
    await Deno.mkdir(dirname(socket), { mode: 0o700 });
  }
}

async function removeWorkshop(socket: string): Promise<void> {
  await orAbsent(Deno.remove(socket));
  await orAbsent(Deno.remove(dirname(socket)));
}

/** Removes what an earlier run, or this one, has put elsewhere, and the word about it. */
async function removeReplacement(dataDir: string): Promise<void> {
  const path = await readPointer(dataDir);
  if (path === undefined) return;
  await Deno.remove(join(dataDir, POINTER_FILE));
  const folder = dirname(path);
  if (!basename(folder).startsWith(REPLACEMENT_PREFIX)) return;
  if (basename(path) !== REPLACEMENT_NAME) return;
  await orAbsent(Deno.remove(path));
  await orAbsent(Deno.remove(folder));
}

async function readPointer(dataDir: string): Promise<string | undefined> {
  return await orAbsent(Deno.readTextFile(join(dataDir, POINTER_FILE)));
}

async function orAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
