/**
 * `dsproxy top` shows how the instance on this machine is, once a second until it is ended, in a
 * terminal or as text. With `--once` one picture is all.
 */
import type { Snapshot } from "../dashboard/snapshot.ts";
import { reasonOf } from "../errors.ts";
import { ask } from "./ask.ts";
import type { CallInstance } from "./instance_client.ts";
import { drawFrame, type Paper, printable } from "./top_frame.ts";

export const TOP_USAGE = `\
  dsproxy top [--once]                       how it is, each second; --once shows it and ends
`;

export interface TopRequest {
  readonly once: boolean;
}

/** This is all that is asked of a terminal. */
export interface Screen {
  readonly isTerminal: boolean;
  size(): { readonly columns: number; readonly rows: number };
  write(text: string): void;
}

const EVERY_MS = 1_000;
/** An instance that takes longer than this to say how it is, is not well. */
export const TOP_LIMIT_MS = 3_000;
/** The screen of the shell comes back as it was. */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const REST_OF_LINE = "\x1b[K";
const REST_OF_SCREEN = "\x1b[J";
/** Text in a file has no width; lines are long enough to lose nothing. */
const FILE_PAPER: Paper = { columns: 200, rows: Infinity, hasColour: false };

export function parseTopRequest(
  operands: readonly string[],
  once: boolean | undefined,
): TopRequest | { error: string } {
  if (operands.length === 0) return { once: once ?? false };
  return { error: `dsproxy: top is used so:\n${TOP_USAGE}See also dsproxy --help.` };
}

/** Returns one picture, or why there is none. */
export async function topOnce(
  call: CallInstance,
  paper: Paper = FILE_PAPER,
): Promise<{ ok: boolean; message: string }> {
  try {
    const { snapshot } = JSON.parse(await ask(call, "GET", "/events")) as { snapshot: Snapshot };
    return { ok: true, message: drawFrame(snapshot, Date.now(), paper) };
  } catch (error) {
    return { ok: false, message: `dsproxy: ${printable(reasonOf(error))}` };
  }
}

/**
 * Draws until the signal fires. An instance that does not answer is asked again: it may be
 * restarted just now.
 */
export async function runTop(
  call: CallInstance,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  const { promise: ended, resolve } = Promise.withResolvers<undefined>();
  signal.addEventListener("abort", () => resolve(undefined), { once: true });
  if (screen.isTerminal) screen.write(ENTER);
  try {
    while (!signal.aborted) {
      const begunMs = performance.now();
      // Who ends it does not wait for an instance that is slow to answer.
      const shown = await Promise.race([topOnce(call, paperOf(screen)), ended]);
      if (shown === undefined) return;
      screen.write(screen.isTerminal ? redrawn(shown.message) : `${shown.message}\n\n`);
      await pause(EVERY_MS - (performance.now() - begunMs), ended);
    }
  } finally {
    if (screen.isTerminal) screen.write(LEAVE);
  }
}

function paperOf(screen: Screen): Paper {
  return screen.isTerminal ? { ...screen.size(), hasColour: true } : FILE_PAPER;
}

/** Each line is drawn over the one before it, so that nothing flickers. */
function redrawn(frame: string): string {
  return HOME + frame.replaceAll("\n", `${REST_OF_LINE}\r\n`) + REST_OF_LINE + REST_OF_SCREEN;
}

async function pause(forMs: number, ended: Promise<unknown>): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, forMs));
  await Promise.race([over, ended]);
  clearTimeout(timer);
}

/** Standard output, and a signal that Ctrl-C and whoever ends the program fire. */
export function terminal(): { screen: Screen; signal: AbortSignal } {
  const end = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => end.abort());
  }
  const isTerminal = Deno.stdout.isTerminal();
  const encoder = new TextEncoder();
  return {
    signal: end.signal,
    screen: {
      isTerminal,
      size: () => Deno.consoleSize(),
      write: (text) => {
        const rest = encoder.encode(text);
        try {
          for (let at = 0; at < rest.length;) at += Deno.stdout.writeSync(rest.subarray(at));
        } catch (error) {
          // Whoever read it, as `head` does, has seen enough.
          if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
          end.abort();
        }
      },
    },
  };
}
