/** Makes the topic of the groups, and that of the dead letters, where they are missing. */
import { Admin } from "./library.ts";
import { withDeadline } from "../../deadline.ts";
import { clientOptions, closeClient, guard, type KafkaOptions } from "./client.ts";
import { brokerError, isNamed, isUnknownTopic } from "./faults.ts";
import { pause } from "./pause.ts";

interface Topic {
  readonly topic: string;
  readonly partitions: number;
  readonly configs: { readonly name: string; readonly value: string }[];
}

/** A topic that was just made is not known everywhere at once. */
const LOOK_AGAIN_MS = 50;

export function deadTopicOf(topic: string): string {
  return `${topic}.dead`;
}

/**
 * One that is there is taken as it is. Dead letters wait for a person, so that no time limits them;
 * there are few, so that one partition does.
 * @throws BrokerError
 */
export async function declareTopics(
  options: KafkaOptions,
  limitMs: number,
  signal: AbortSignal,
): Promise<void> {
  const admin = new Admin({ ...clientOptions(options), retries: 0 });
  guard(admin.connections);
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {}); // The race below is told, while there is one.
  const end = () => {
    isOver = true;
    ended.reject(new Error("the connection was closed"));
  };
  let isOver = false;
  signal.addEventListener("abort", end);
  const wanted: readonly Topic[] = [
    { topic: options.topic, partitions: options.partitions, configs: [] },
    {
      topic: deadTopicOf(options.topic),
      partitions: 1,
      configs: [{ name: "retention.ms", value: "-1" }],
    },
  ];
  const work = async () => {
    for (const each of wanted) {
      if (await isThere(admin, each.topic)) continue;
      await create(admin, each, options.replicas);
      while (!isOver && !await isThere(admin, each.topic)) await pause(LOOK_AGAIN_MS, signal);
    }
  };
  try {
    const limited = withDeadline(work(), limitMs, "asking for the topics");
    await Promise.race([limited, ended.promise]);
  } catch (error) {
    throw brokerError(error, options);
  } finally {
    isOver = true;
    signal.removeEventListener("abort", end);
    await closeClient(admin);
  }
}

async function isThere(admin: Admin, topic: string): Promise<boolean> {
  try {
    await admin.metadata({ topics: [topic], forceUpdate: true });
    return true;
  } catch (error) {
    if (isUnknownTopic(error) || isNamed(error, "LEADER_NOT_AVAILABLE")) return false;
    throw error;
  }
}

async function create(admin: Admin, wanted: Topic, replicas: number | undefined): Promise<void> {
  const { topic, partitions, configs } = wanted;
  try {
    await admin.createTopics({
      topics: [topic],
      partitions,
      ...(replicas !== undefined && { replicas }),
      configs,
    });
  } catch (error) {
    // Another process was faster.
    if (!isNamed(error, "TOPIC_ALREADY_EXISTS")) throw error;
  }
}
