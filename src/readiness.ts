/** Says whether the service is ready: it accepts writes, and its store does not refuse. */
import type { HealthCheck } from "./http/handlers/health.ts";
import type { IntakeStatus } from "./ports/intake.ts";
import type { Phase } from "./service_parts.ts";

export interface Asked {
  readonly service: {
    readonly phase: Phase;
    readonly status:
      | Omit<IntakeStatus, "instance" | "accepted" | "durable" | "settled">
      | undefined;
    readonly refusal: string | undefined;
    readonly brokerFailure: string | undefined;
    /** It says why the store takes nothing just now, where that is known apart from its refusal. */
    readonly storeFailure?: string | undefined;
  };
  /** It knows why look-ups are refused, while nothing is written. */
  readonly firstContact: { readonly refusal: string | undefined };
  readonly leadership: { readonly description: string };
  readonly steering: {
    readonly refusal: string | undefined;
    readonly description: string | undefined;
  };
}

const REASONS: Readonly<Record<Phase, string | undefined>> = {
  starting: "starting",
  recovering: "recovering the journal",
  serving: undefined,
  draining: "shutting down",
};

/**
 * A store or a cache that is away has no check: that is what the journal is for. Of a broker it is
 * told, and no more: an API server goes on without, and a worker cannot be replaced by another one.
 * Who leads is told, too: nothing that is asked of the service depends on it. A person who paused
 * this instance has it accept writes all the same.
 */
export function readinessChecks(asked: () => Asked): HealthCheck[] {
  const service = () => asked().service;
  return [
    { name: "phase", failure: () => REASONS[service().phase] },
    { name: "journal", failure: () => service().status?.failure ?? service().status?.lackOfRoom },
    {
      name: "store",
      failure: () => service().refusal ?? asked().firstContact.refusal,
      note: () => service().storeFailure,
    },
    { name: "broker", failure: () => undefined, note: () => service().brokerFailure },
    {
      name: "delivery",
      failure: () => asked().steering.refusal,
      note: () => asked().steering.description,
    },
    { name: "leader", failure: () => undefined, note: () => asked().leadership.description },
  ];
}
