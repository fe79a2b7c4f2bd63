/** Puts what the library throws into words for people, and says who has to do something. */
import { BrokerError, BrokerRefusesError, BrokerUnavailableError } from "../../errors.ts";
import { DeadlineError } from "../../deadline.ts";
import type { KafkaOptions } from "./client.ts";

interface Fault {
  readonly message: string;
  /** It is the protocol's own name, such as `NOT_ENOUGH_REPLICAS`. */
  readonly apiId?: string;
  readonly serverErrorMessage?: string | null;
  readonly code?: string;
}

/** These would be the same again, until a person changes something. */
const ADVICE: Readonly<Record<string, string>> = {
  TOPIC_AUTHORIZATION_FAILED:
    "the user lacks a right to the topic, or to its dead letters' one (Describe, Write and Read; " +
    "Create where they are missing)",
  GROUP_AUTHORIZATION_FAILED: "the user lacks the right Read to the group of the topic's name",
  CLUSTER_AUTHORIZATION_FAILED: "the user lacks a right to the cluster (Create, IdempotentWrite)",
  INVALID_REPLICATION_FACTOR: "the cluster has fewer servers than the replicas that are wanted",
  INVALID_TOPIC_EXCEPTION: "the topic cannot have this name",
  INCONSISTENT_GROUP_PROTOCOL: "others use the group of the topic's name in another way",
  UNSUPPORTED_SASL_MECHANISM: "its listener does not offer this SASL mechanism",
  ILLEGAL_SASL_STATE: "its listener does not offer SASL",
  MESSAGE_TOO_LARGE: "the topic's max.message.bytes is less than this message has",
  RECORD_LIST_TOO_LARGE: "the topic's segment.bytes is less than this message has",
  POLICY_VIOLATION: "a policy of the cluster forbids the topic",
  INVALID_CONFIG: "the cluster does not take the topic's settings",
  INVALID_PARTITIONS: "the cluster does not take this number of partitions",
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the user lacks the right IdempotentWrite",
};

/** Returns it as the error that a caller is to have. */
export function brokerError(error: unknown, options: KafkaOptions): BrokerError {
  if (error instanceof BrokerError) return error;
  const faults = chain(error);
  const server = `Kafka at ${options.brokers.map(({ host, port }) => `${host}:${port}`).join(",")}`;
  const refuses = (words: string) =>
    new BrokerRefusesError(`${server} refuses: ${words}`, { cause: error });
  for (const { apiId, serverErrorMessage, message } of faults) {
    const advice = ADVICE[apiId ?? ""];
    if (advice !== undefined) {
      return refuses(
        `${serverErrorMessage || message.replace(/\.$/, "")} (topic ${options.topic}: ${advice})`,
      );
    }
  }
  if (faults.some(isLogin)) {
    return refuses(
      `the user ${options.sasl?.user ?? "(none)"} cannot log in by ${options.sasl?.mechanism}: ` +
        "the name or the password is wrong",
    );
  }
  const tls = faults.find(({ message }) => /certificate|requires TLS/i.test(message));
  if (tls !== undefined) return refuses(tls.message);
  return new BrokerUnavailableError(`${server}: ${reasonsOf(faults)}`, { cause: error });
}

/** Tells whether it is among what went wrong, under the protocol's own name. */
export function isNamed(error: unknown, ...apiIds: readonly string[]): boolean {
  return chain(error).some(({ apiId }) => apiId !== undefined && apiIds.includes(apiId));
}

/** Tells whether a topic is not there: the library has a message of its own for it. */
export function isUnknownTopic(error: unknown): boolean {
  return isNamed(error, "UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_ID") ||
    chain(error).some(({ message }) => message.startsWith("Unknown topic "));
}

function isLogin({ apiId, code }: Fault): boolean {
  return apiId === "SASL_AUTHENTICATION_FAILED" || code === "PLT_KFK_AUTHENTICATION";
}

/** Returns it, what is gathered in it, and what caused it, the outermost first. */
function chain(error: unknown): readonly Fault[] {
  const found = new Set<Error>();
  const visit = (each: unknown) => {
    if (!(each instanceof Error) || found.has(each)) return;
    found.add(each);
    if (each instanceof AggregateError) each.errors.forEach(visit);
    visit(each.cause);
  };
  visit(error);
  return [...found];
}

/** Returns the innermost words: those around them say only that something went wrong. */
function reasonsOf(faults: readonly Fault[]): string {
  const inner = faults.filter((fault) =>
    !(fault instanceof AggregateError) && !(fault instanceof Error && fault.cause !== undefined)
  );
  const words = inner.map((fault) =>
    fault instanceof DeadlineError ? fault.message : fault.serverErrorMessage || fault.message
  );
  return [...new Set(words)].slice(0, 3).join("; ") || "it failed";
}
