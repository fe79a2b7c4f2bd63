/** Makes the breakers, which tell when one opens, and when it is closed again. */
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../telemetry/log.ts";
import { OutageLog } from "../telemetry/outage_log.ts";
import { Breaker, type BreakerListener } from "./breaker.ts";

/** They are named as metrics and lines call them; look-ups of the store have one of their own. */
export type Breakers = Readonly<Record<"store" | "store-reads" | "cache", Breaker>>;

type Told = Pick<Log, "info" | "warn">;
type Times = Pick<Clock, "monotonicMs">;

export function makeBreakers(log: Told, clock: Times): Breakers {
  const tell = (dependency: keyof Breakers) => tellBreaker(dependency, log, clock);
  return {
    "store": new Breaker("The store", clock, { listener: tell("store") }),
    "store-reads": new Breaker("The store", clock, { listener: tell("store-reads") }),
    "cache": new Breaker("The cache", clock, { listener: tell("cache"), countsCauses: true }),
  };
}

function tellBreaker(dependency: keyof Breakers, log: Told, clock: Times): BreakerListener {
  const outage = new OutageLog({
    clock,
    onBegin: (_, error, fields) =>
      log.warn("A dependency fails: its calls are refused at once until it answers", {
        event: "breaker-open",
        dependency,
        ...fields,
        error,
      }),
    onEnd: ({ lastedMs }) =>
      log.info("A dependency answers again", { event: "breaker-closed", dependency, lastedMs }),
  });
  return {
    onOpen: (error) => outage.failed("open", error),
    onClosed: () => outage.succeeded(),
  };
}
