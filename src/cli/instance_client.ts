/**
 * Asks the instance that runs on this machine, by its HTTP interface: for `--ready` and the
 * commands.
 */
import { request as httpRequest } from "node:http";
import type { Config } from "../config/config.ts";
import { reasonOf } from "../errors.ts";

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request to the instance. @throws with the reason when no answer comes in time */
export type CallInstance = (method: "GET" | "POST" | "DELETE", path: string) => Promise<Answer>;

type Listen = Pick<Config, "listen">;

const READY_LIMIT_MS = 3_000;
/** A page of the largest listing, with the longest user ids. */
const MAX_ANSWER_LENGTH = 16 * 1024 * 1024;
const ANY_ADDRESS = new Map([["0.0.0.0", "127.0.0.1"], ["::", "::1"]]);

/** Calls the instance that listens where `config` says. @throws when that cannot be known */
export function instanceCaller({ listen }: Listen, limitMs: number): CallInstance {
  const { port } = listen;
  if (port === 0) {
    throw new Error("PROXY_PORT is 0, so nobody can know the port: set the one it listens on.");
  }
  const host = ANY_ADDRESS.get(listen.host) ?? listen.host;
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return async (method, path) => {
    try {
      return await call(host, port, method, path, limitMs);
    } catch (error) {
      throw new Error(`no answer from ${where} (${reasonOf(error)})`, { cause: error });
    }
  };
}

/**
 * Asks the instance that listens where `config` says; never rejects. `message` has the reason when
 * it is not ready.
 */
export async function askReady(config: Listen): Promise<{ ok: boolean; message: string }> {
  try {
    const { status, text } = await instanceCaller(config, READY_LIMIT_MS)("GET", "/readyz");
    if (status === 200) return { ok: true, message: "ready" };
    const answer = text.trim().replaceAll(/\s*\n\s*/g, "; ").slice(0, 500);
    return { ok: false, message: `not ready: status ${status}, ${answer}` };
  } catch (error) {
    return { ok: false, message: `not ready: ${reasonOf(error)}` };
  }
}

/** Not `fetch`, which would go through the proxy that HTTP_PROXY names. */
function call(
  hostname: string,
  port: number,
  method: string,
  path: string,
  limitMs: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, method, path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_LENGTH) giveUp("its answer is too long to be that of dsproxy");
      });
      response.on("end", () => settle(() => resolve({ status: response.statusCode ?? 0, text })));
      response.on("error", (error) => settle(() => reject(error)));
    });
    const timer = setTimeout(() => giveUp(`it did not come within ${limitMs / 1000} s`), limitMs);
    request.on("error", (error) => settle(() => reject(error)));
    request.end();
    function giveUp(reason: string): void {
      settle(() => reject(new Error(reason)));
      request.destroy();
    }
    function settle(outcome: () => void): void {
      clearTimeout(timer);
      outcome();
    }
  });
}
