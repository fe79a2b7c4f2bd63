/** Puts what the client and the server say into words for people, and says who has to do something. */
import { DeadlineError } from "../../deadline.ts";
import { BrokerError, BrokerRefusesError, BrokerUnavailableError, reasonOf } from "../../errors.ts";
import type { RabbitmqOptions } from "./link.ts";
import { deadQueueOf } from "./topology.ts";

/** Returns it as the error that a caller is to have. It never has the password in it. */
export function brokerError(error: unknown, options: RabbitmqOptions): BrokerError {
  if (error instanceof BrokerError) return error;
  const server = `RabbitMQ at ${
    options.hosts.map(({ host, port }) => `${host}:${port}`).join(",")
  }`;
  const said = wordsOf(error);
  const advice = adviceOn(codeOf(error), said, options);
  return advice === undefined
    ? new BrokerUnavailableError(`${server}: ${said}`, { cause: error })
    : new BrokerRefusesError(`${server} refuses: ${said} (${advice})`, { cause: error });
}

/** Returns what a person has to look at; undefined where it may pass by itself. */
function adviceOn(code: string, said: string, options: RabbitmqOptions): string | undefined {
  const { user, vhost, queue } = options;
  switch (code) {
    case "ACCESS_REFUSED":
      return /login was refused/i.test(said)
        ? `the user ${user} cannot log in: the name or the password is wrong`
        : `in the virtual host ${vhost} the user ${user} needs the rights to configure, write and ` +
          `read ${queue} and ${deadQueueOf(queue)}, and to write amq.default`;
    case "NOT_ALLOWED":
      return `there is no virtual host ${vhost}, or the user ${user} may not use it`;
    case "PRECONDITION_FAILED":
      // Whoever keeps a message for too long is given it anew, without anybody's doing.
      if (/acknowledge?ment.*timed out/i.test(said)) return undefined;
      return /^QueueDeclare/.test(said)
        ? `the queues ${queue} and ${deadQueueOf(queue)} in the virtual host ${vhost} must have ` +
          "been declared by dsProxy: choose another name, or remove the queue that is there"
        : `of the queue ${queue} in the virtual host ${vhost}`;
    case "RESOURCE_LOCKED":
      return `somebody else has the queue ${queue} in the virtual host ${vhost} for themselves`;
    case "VERSION_MISMATCH":
      return "it has to speak AMQP 0-9-1";
    default:
      return /certificate/i.test(said) ? "its certificate has to be vouched for" : undefined;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function wordsOf(error: unknown): string {
  if (error instanceof DeadlineError) return error.message;
  // The client writes this where the server names no method.
  return reasonOf(error).replace(/^undefined: /, "") || codeOf(error) || "it failed";
}
