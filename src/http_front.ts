/** Puts the service on the network: health and metrics from the start, the rest once it is open. */
import type { Config } from "./config/config.ts";
import type { Auditor } from "./cluster/auditor.ts";
import { type AuditHandlers, auditHandlers } from "./http/handlers/audit.ts";
import {
  type DeadLetterSweepHandlers,
  deadLetterSweepHandlers,
} from "./http/handlers/dead_letter_sweeps.ts";
import { type DeadLetterHandlers, deadLetterHandlers } from "./http/handlers/dead_letters.ts";
import type { Dashboard } from "./dashboard/dashboard.ts";
import { eventsHandler } from "./http/handlers/events.ts";
import { healthHandler } from "./http/handlers/health.ts";
import { metricsHandler } from "./http/handlers/metrics.ts";
import { pageHandlers } from "./http/handlers/page.ts";
import { readHandler } from "./http/handlers/read.ts";
import { type SteeringHandlers, steeringHandlers } from "./http/handlers/steering.ts";
import { workerHandlers } from "./http/handlers/worker.ts";
import { writeHandler } from "./http/handlers/write.ts";
import { writeStatusHandler } from "./http/handlers/write_status.ts";
import { Server } from "./http/server.ts";
import type { Clock } from "./ports/clock.ts";
import type { StorePorts } from "./ports/store.ts";
import { type Asked, readinessChecks } from "./readiness.ts";
import type { CacheClient } from "./reading/cache_client.ts";
import type { Doors, Front } from "./service_parts.ts";
import type { Steering } from "./steering.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/tracing.ts";

interface HttpFrontParts {
  readonly store: StorePorts;
  readonly cache: Pick<CacheClient, "forget">;
  readonly steering: Steering;
  /** It is undefined for a store that cannot be audited. */
  readonly auditor: Auditor | undefined;
  /** It is undefined where DASHBOARD=off. */
  readonly dashboard: Dashboard | undefined;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing: Tracing;
  /** It is asked when somebody asks for readiness. */
  readonly asked: () => Asked;
}

type AdminHandlers =
  & DeadLetterHandlers
  & DeadLetterSweepHandlers
  & AuditHandlers
  & SteeringHandlers;

export class HttpFront implements Front {
  readonly #server: Server;

  constructor(private readonly config: Config, private readonly parts: HttpFrontParts) {
    const { listen: { host, port }, corsOrigins, admin, dataDir } = config;
    const options = { host, port, origins: new Set(corsOrigins), admin, dataDir };
    this.#server = new Server(options, parts);
  }

  async listen(): Promise<string> {
    const { asked, dashboard, metrics } = this.parts;
    this.#server.mount({
      ...pageHandlers(dashboard !== undefined),
      events: eventsHandler(dashboard),
      metrics: metricsHandler(metrics),
      live: healthHandler([]),
      ready: healthHandler(readinessChecks(asked)),
    });
    const url = await this.#server.start();
    dashboard?.start();
    return url;
  }

  async open({ intake, journal, reader }: Doors): Promise<void> {
    const { limits, ack, queue } = this.config;
    const { clock, store: { deadLetters, store } } = this.parts;
    const hasBroker = queue.kind !== "journal";
    this.#server.mount({
      write: writeHandler({ writer: intake, limits, defaultAck: ack, clock, hasBroker }),
      writeStatus: writeStatusHandler({ intake: journal, marks: store, deadLetters }),
      ...this.#adminHandlers(),
      read: readHandler({ reader, keyBytes: limits.keyBytes }),
    });
    // The journal's lock says that the directory is this process's alone.
    await this.#server.openAdminSocket();
  }

  /** A worker has no directory of its own, and so no socket in it. */
  listenAsWorker(): Promise<string> {
    this.#server.mount({ ...this.#adminHandlers(), ...workerHandlers });
    return this.listen();
  }

  async close(): Promise<void> {
    // Who watches would keep a connection open for as long as they like.
    const { dashboard } = this.parts;
    await Promise.all([dashboard?.stop(), this.#server.stop()]);
  }

  #adminHandlers(): AdminHandlers {
    const { store: { deadLetters, sweeps }, cache, auditor, steering, clock, log } = this.parts;
    return {
      ...deadLetterHandlers(deadLetters, cache, log),
      ...deadLetterSweepHandlers({ deadLetters, sweeps, cache, clock, log }),
      ...auditHandlers(auditor, log),
      ...steeringHandlers(steering, log),
    };
  }
}
