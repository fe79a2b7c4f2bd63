/** `dsproxy flush`, `pause`, `resume` and `drain` steer the instance that runs on this machine. */
import { reasonOf } from "../errors.ts";
import { ask } from "./ask.ts";
import type { CallInstance } from "./instance_client.ts";

export const STEERING_COMMANDS = ["flush", "pause", "resume", "drain"] as const;
export type SteeringCommand = (typeof STEERING_COMMANDS)[number];

export const STEERING_USAGE = `\
  dsproxy flush                              bring what waits to the database now
  dsproxy pause                              bring nothing there; writes go on, until the journal is full
  dsproxy resume                             go on; a restart does, too
  dsproxy drain                              turn writes away, and bring all there; then stop or resume
`;

/** The admin routes answer so. */
interface Answer {
  readonly stored?: boolean;
  readonly quiet?: boolean;
  readonly waiting: number;
}

export function isSteeringCommand(word: string | undefined): word is SteeringCommand {
  return STEERING_COMMANDS.some((command) => command === word);
}

/** `ok` is false when what was asked for has not come about; `message` then says how far it is. */
export async function runSteering(
  command: SteeringCommand,
  call: CallInstance,
): Promise<{ ok: boolean; message: string }> {
  try {
    const answer = JSON.parse(await ask(call, "POST", `/admin/${command}`)) as Answer;
    return { ok: answer.stored !== false, message: describe(command, answer) };
  } catch (error) {
    return { ok: false, message: `dsproxy: ${reasonOf(error)}` };
  }
}

function describe(command: SteeringCommand, { stored, quiet, waiting }: Answer): string {
  const left = `${waiting} write${waiting === 1 ? " waits" : "s wait"}`;
  if (command === "resume") return `Resumed; ${left} for the database.`;
  if (command === "drain" && stored) return "Drained: nothing is left, and writes are turned away.";
  if (command !== "pause") {
    return stored
      ? `Flushed; ${left} by now.`
      : `dsproxy: not everything is in the database yet; ${left}. dsproxy --ready may say why.`;
  }
  const rest = quiet ? "" : " A flush that was under way has not ended yet.";
  return `Paused; ${left} in the journal. dsproxy resume goes on.${rest}`;
}
