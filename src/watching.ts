/** Makes what watches this instance: the dashboard, and what it is told by the parts of the service. */
import type { Leadership } from "./cluster/leadership.ts";
import type { Config } from "./config/config.ts";
import type { Current } from "./dashboard/compose.ts";
import { Dashboard } from "./dashboard/dashboard.ts";
import { createInstanceBoard } from "./parts.ts";
import type { Clock } from "./ports/clock.ts";
import type { IntakeStatus } from "./ports/intake.ts";
import type { StorePorts } from "./ports/store.ts";
import type { PauseSwitch } from "./pause_switch.ts";
import type { Asked } from "./readiness.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { VERSION } from "./version.ts";

interface WatchingParts {
  readonly service: () => Watched;
  readonly firstContact: { readonly refusal: string | undefined };
  readonly leadership: () => Leadership;
  readonly breakers: Current["breakers"];
  readonly store: Pick<StorePorts, "deadLetters" | "store">;
  readonly pausing: Pick<PauseSwitch, "isPaused">;
  readonly steering: () => Asked["steering"];
  /** It returns the store's. */
  readonly identity: () => Promise<string>;
  /** It names this start, as nobody else is named. */
  readonly name: () => string;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
}

interface Watched extends Omit<Asked["service"], "status"> {
  readonly status: QueueStatus | undefined;
}

type QueueStatus = Pick<
  IntakeStatus,
  "depth" | "oldestAcceptedMs" | "bytes" | "retainedBytes" | "failure" | "lackOfRoom"
>;

const NOT_OPEN: QueueStatus = {
  depth: 0,
  oldestAcceptedMs: undefined,
  bytes: 0,
  retainedBytes: 0,
  failure: undefined,
  lackOfRoom: undefined,
};

/** Returns undefined where DASHBOARD=off: nothing is watched then. */
export function makeDashboard(config: Config, parts: WatchingParts): Dashboard | undefined {
  if (!config.dashboard) return undefined;
  const { store: { deadLetters, store: asked }, identity, clock, metrics, log } = parts;
  const { role, store, cache, queue, batch, journal } = config;
  return new Dashboard({
    setup: {
      ...{ role, version: VERSION, startedMs: clock.now() },
      ...{ store: store.kind, cache: cache.kind, queue: queue.kind },
      batchIntervalMs: batch.intervalMs,
      journalMaxBytes: journal.maxBytes,
    },
    current: () => currentOf(config, parts),
    board: createInstanceBoard(config, { identity, clock }),
    ping: () => asked.ping(),
    ...{ deadLetters, clock, metrics, log },
  });
}

function currentOf({ role }: Config, parts: WatchingParts): Current {
  const service = parts.service();
  const { phase, refusal, brokerFailure, status = NOT_OPEN } = service;
  const isPaused = parts.pausing.isPaused;
  const leadership = parts.leadership();
  return {
    name: parts.name(),
    ...{ phase, isPaused, queue: status },
    isDrained: parts.steering().refusal !== undefined,
    journalHasFailed: status.failure !== undefined,
    journalRefuses: status.lackOfRoom !== undefined,
    storeRefuses: (refusal ?? parts.firstContact.refusal) !== undefined,
    brokerIsAway: brokerFailure !== undefined,
    breakers: parts.breakers,
    leads: leadership.leads,
    // A worker stands aside, and does not know.
    leader: role === "worker" ? undefined : leadership.leader,
  };
}
