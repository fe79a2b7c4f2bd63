/** At `/admin/flush`, `pause`, `resume` and `drain` a person steers the way to the store. */
import type { Steering } from "../../steering.ts";
import type { Log } from "../../telemetry/log.ts";
import { ActionLog } from "../action_log.ts";
import type { Handler } from "../handler.ts";

export interface SteeringHandlers {
  readonly flush: Handler;
  readonly pause: Handler;
  readonly resume: Handler;
  readonly drain: Handler;
}

type Steered = Pick<Steering, "flush" | "drain" | "pause" | "resume" | "waiting" | "pausedMs">;

export function steeringHandlers(
  steering: Steered,
  log: Pick<Log, "info">,
): SteeringHandlers {
  const actions = new ActionLog(log);
  const bringing = (action: "flush" | "drain"): Handler => async (context) => {
    const stored = await steering[action]();
    const { waiting } = steering;
    actions.note(context, action, { stored, waiting });
    return Response.json({ stored, waiting }, { status: stored ? 200 : 202 });
  };
  return {
    flush: bringing("flush"),
    drain: bringing("drain"),
    pause: async (context) => {
      const quiet = await steering.pause();
      const { waiting, pausedMs } = steering;
      const since = pausedMs === undefined ? null : new Date(pausedMs).toISOString();
      actions.note(context, "pause", { quiet, waiting });
      return Response.json({ paused: true, since, quiet, waiting });
    },
    resume: (context) => {
      const { waiting } = steering;
      steering.resume();
      actions.note(context, "resume", { waiting });
      return Response.json({ paused: false, waiting });
    },
  };
}
