/**
 * Has the names by which spans are told, as OpenTelemetry's semantic conventions have them. Those
 * of HTTP and databases are stable; those of messaging are not, and may change with a release.
 */

/** Stable. */
export const HTTP = {
  method: "http.request.method",
  route: "http.route",
  status: "http.response.status_code",
  path: "url.path",
  scheme: "url.scheme",
  /** It stands for a method that is none of the known ones. */
  otherMethod: "_OTHER",
} as const;

/** Stable. */
export const DB = {
  system: "db.system.name",
  namespace: "db.namespace",
  collection: "db.collection.name",
  operation: "db.operation.name",
  batchSize: "db.operation.batch.size",
} as const;

/** In development. */
export const MESSAGING = {
  system: "messaging.system",
  destination: "messaging.destination.name",
  operation: "messaging.operation.name",
  operationType: "messaging.operation.type",
  batchCount: "messaging.batch.message_count",
} as const;

/** Stable, of all kinds of spans. */
export const ERROR_TYPE = "error.type";

/** Our own. */
export const OWN = {
  /** So many records became durable together. */
  groupRecords: "dsproxy.journal.group.records",
  /** So many rows were in the transaction, or in the message. */
  rows: "dsproxy.rows",
  /** So many sampled writes were in it that it does not link to, as links are bounded. */
  unlinked: "dsproxy.unlinked_writes",
} as const;

export type AttributeValue = string | number;
export type Attributes = Readonly<Record<string, AttributeValue>>;
