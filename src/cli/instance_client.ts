/**
 * Asks the instance that runs on this machine: the commands by its admin socket, `--ready` where
 * its clients ask it.
 */
import { request as httpRequest, type RequestOptions } from "node:http";
import type { Config } from "../config/config.ts";
import { reasonOf } from "../errors.ts";
import { findAdminSocket } from "../http/admin_socket.ts";

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request to the instance. @throws with the reason when no answer comes in time */
export type CallInstance = (method: "GET" | "POST" | "DELETE", path: string) => Promise<Answer>;

/** The instance can be called here; `name` and `hint` are for people. */
interface Target {
  readonly name: string;
  /** It says what to look at when no answer comes. */
  readonly hint?: string;
  readonly address: Pick<RequestOptions, "host" | "port" | "socketPath">;
}

/** The health check of the image ends a call after 5 s, and would not say why. */
const READY_LIMIT_MS = 3_000;
/** The store may take its time, but a person waits for the answer. */
const ADMIN_LIMIT_MS = 30_000;
/** The largest page of a listing, with the longest user ids and messages, is shorter. */
const MAX_ANSWER_LENGTH = 16 * 1024 * 1024;
const ANY_ADDRESS = new Map([["0.0.0.0", "127.0.0.1"], ["::", "::1"]]);

/** Calls the admin routes of the instance that runs with this configuration. */
export function adminCaller(
  config: Pick<Config, "admin" | "dataDir">,
  limitMs = ADMIN_LIMIT_MS,
): CallInstance {
  const wanted = { path: config.admin.socketPath, dataDir: config.dataDir };
  return async (method, path) => {
    const socketPath = await findAdminSocket(wanted);
    const hint = "; does it run, with the same DATA_DIR and as the same user?";
    const target = { name: socketPath, hint, address: { socketPath } };
    return await call(target, method, path, limitMs);
  };
}

/**
 * Calls what is open to everybody of the instance that runs with this configuration: by its admin
 * socket, or where its clients ask it, as a worker has no socket.
 */
export function openCaller(
  config: Pick<Config, "admin" | "dataDir" | "listen" | "role">,
  limitMs: number,
): CallInstance {
  if (config.role !== "worker") return adminCaller(config, limitMs);
  return async (method, path) => await call(networkTarget(config.listen), method, path, limitMs);
}

/**
 * Asks the instance that listens where `config` says; never rejects. `message` has the reason when
 * it is not ready.
 */
export async function askReady(
  { listen }: Pick<Config, "listen">,
): Promise<{ ok: boolean; message: string }> {
  try {
    // The admin socket is not asked, because this is to fail when clients do not get through.
    const { status, text } = await call(networkTarget(listen), "GET", "/readyz", READY_LIMIT_MS);
    if (status === 200) return { ok: true, message: "ready" };
    const answer = text.trim().replaceAll(/\s*\n\s*/g, "; ").slice(0, 500);
    return { ok: false, message: `not ready: status ${status}, ${answer}` };
  } catch (error) {
    return { ok: false, message: `not ready: ${reasonOf(error)}` };
  }
}

function networkTarget({ host: bound, port }: Config["listen"]): Target {
  if (port === 0) {
    throw new Error("PROXY_PORT is 0, so nobody can know the port: set the one it listens on.");
  }
  const host = ANY_ADDRESS.get(bound) ?? bound;
  const name = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return { name, address: { host, port } };
}

async function call(
  { name, hint = "", address }: Target,
  method: string,
  path: string,
  limitMs: number,
): Promise<Answer> {
  const signal = AbortSignal.timeout(limitMs);
  try {
    const headers = { accept: "application/json" };
    return await exchange({ ...address, method, path, headers, signal, agent: false });
  } catch (error) {
    const reason = signal.aborted ? `it did not come within ${limitMs / 1000} s` : reasonOf(error);
    throw new Error(`no answer from ${name} (${reason})${hint}`, { cause: error });
  }
}

/** `fetch` is not used, as it would go through the proxy that HTTP_PROXY names. */
function exchange(options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length <= MAX_ANSWER_LENGTH) return;
        request.destroy(new Error("its answer is too long to be that of dsproxy"));
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
}
