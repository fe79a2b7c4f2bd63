/** Makes what may lead: who asks for the lease, and what it does for all as the configuration says. */
import { Adoption } from "./adopting/adoption.ts";
import type { AuditFindings } from "./cluster/audit_findings.ts";
import type { Auditor } from "./cluster/auditor.ts";
import { DeadLetterRetryDuty } from "./cluster/dead_letter_retry.ts";
import type { Duty } from "./cluster/duty.ts";
import { Leadership } from "./cluster/leadership.ts";
import { RetentionDuty } from "./cluster/retention.ts";
import { SampledAuditDuty } from "./cluster/sampled_audit.ts";
import type { Config } from "./config/config.ts";
import type { JournalFileSystem } from "./disk/file_system.ts";
import { denoNeighbours } from "./disk/neighbours.ts";
import { createLease, termsOf } from "./parts.ts";
import type { Clock } from "./ports/clock.ts";
import type { StorePorts } from "./ports/store.ts";
import type { CacheClient } from "./reading/cache_client.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/tracing.ts";

interface LeadingParts {
  readonly store: StorePorts;
  readonly cache: CacheClient;
  /** It is there where the store can be audited. */
  readonly audit: { readonly findings: AuditFindings; readonly auditor: Auditor } | undefined;
  readonly fs: JournalFileSystem;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing?: Tracing;
  /** It returns the store's. */
  readonly identity: () => Promise<string>;
  /** It names this start, as nobody else is named. */
  readonly name: () => string;
  /** It returns the instance that this is part of; undefined as long as nobody knows. */
  readonly instance: () => string | undefined;
}

export function makeLeadership(config: Config, parts: LeadingParts): Leadership {
  const { store, identity, name, clock, log, metrics } = parts;
  return new Leadership({
    lease: createLease(config, { ports: store, identity, clock }),
    terms: termsOf(store),
    duties: dutiesOf(config, parts),
    random: Math.random,
    ...{ name, clock, log, metrics },
  });
}

function dutiesOf(config: Config, parts: LeadingParts): readonly Duty[] {
  return [
    ...retentionOf(config, parts),
    ...retriesOf(config, parts),
    ...adoptionOf(config, parts),
    ...auditOf(config, parts),
  ];
}

function retentionOf({ retentionMs }: Config, parts: LeadingParts): readonly Duty[] {
  const { retention } = parts.store;
  if (retention === undefined || retentionMs === undefined) return [];
  return [new RetentionDuty({ ...parts, retention, retentionMs })];
}

function retriesOf({ deadLetterRetryMs: agesMs }: Config, parts: LeadingParts): readonly Duty[] {
  const { store: { retries }, cache } = parts;
  if (retries === undefined || agesMs.length === 0) return [];
  const forget: CacheClient["forget"] = (entries) => cache.forget(entries);
  return [new DeadLetterRetryDuty({ ...parts, retries, agesMs, forget })];
}

function adoptionOf({ adopt, batch }: Config, parts: LeadingParts): readonly Duty[] {
  const { within, ...store } = parts.store;
  if (adopt === undefined || within === undefined) return [];
  const options = { ...adopt, maxRows: batch.max };
  return [
    new Adoption(options, { ...parts, neighbours: denoNeighbours, store: { ...store, within } }),
  ];
}

/** Flushes and look-ups of the embedded store would wait for each look, which reads all of it. */
function auditOf({ store }: Config, parts: LeadingParts): readonly Duty[] {
  const { store: { audit }, audit: own, clock } = parts;
  if (audit === undefined || own === undefined || store.kind === "sqlite") return [];
  return [new SampledAuditDuty({ audit, ...own, clock, random: Math.random })];
}
