/** Accepts connections until it is told to stop, also after a time in which it could not. */
import { AnswerEndedError } from "../errors.ts";
import { systemClock } from "../ports/clock.ts";
import type { Log } from "../telemetry/log.ts";
import { OutageLog } from "../telemetry/outage_log.ts";

/** Between two tries somebody else may close a file: once or twice a second is often enough. */
const LISTEN_AGAIN_MS = 500;

/** Returns what `Deno.serve` calls when an answer breaks off, and would print otherwise. */
export function onBrokenAnswer(log: Pick<Log, "error">): (error: unknown) => Response {
  return (error) => {
    if (!(error instanceof AnswerEndedError)) {
      log.error("An answer broke off", { event: "request-failed", error });
    }
    // Nobody gets this: the head of the answer was sent.
    return new Response(null, { status: 500 });
  };
}

export class Listener<A extends Deno.Addr> {
  #server: Deno.HttpServer<A> | undefined;
  #stopping = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #outage: OutageLog;

  /** @param open given the address that was bound before; undefined the first time */
  constructor(
    private readonly open: (
      before: A | undefined,
    ) => Deno.HttpServer<A> | Promise<Deno.HttpServer<A>>,
    log: Pick<Log, "info" | "error">,
  ) {
    this.#outage = new OutageLog({
      clock: systemClock,
      onBegin: (_, error, fields) =>
        log.error("Connections cannot be accepted; listening again in a moment", {
          event: "listener-failed",
          ...fields,
          error,
        }),
      onEnd: (fields) =>
        log.info("Connections are accepted again", { event: "listener-back", ...fields }),
    });
  }

  /**
   * Returns the address really bound. May be called again after {@link stop}.
   * @throws whatever `open` throws
   */
  async start(): Promise<A> {
    this.#stopping = false;
    return await this.#listen(undefined);
  }

  /** Accepts no more, and resolves when the requests under way are answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    await this.#server?.shutdown();
  }

  async #listen(before: A | undefined): Promise<A> {
    const server = await this.open(before);
    server.finished.catch((error) => this.#listenAgainLater(server.addr, error));
    this.#server = server;
    this.#outage.succeeded();
    if (this.#stopping) await server.shutdown();
    return server.addr;
  }

  /** Accepting can fail while all else is well: no file descriptor may be left. That passes. */
  #listenAgainLater(before: A, error: unknown): void {
    if (this.#stopping) return;
    this.#server = undefined;
    this.#outage.failed("closed", error);
    this.#timer = setTimeout(
      () => this.#listen(before).catch((again) => this.#listenAgainLater(before, again)),
      LISTEN_AGAIN_MS,
    );
  }
}
