/** `GET /writes/{id}` says what became of a write, of this run or of any that the store knows. */
import { parseWriteId } from "../../domain.ts";
import { AppError } from "../../errors.ts";
import type { DeadLetters, Rejection } from "../../ports/dead_letters.ts";
import type { Intake } from "../../ports/intake.ts";
import type { Store } from "../../ports/store.ts";
import { type Handler, TEXT_HEADERS } from "../handler.ts";
import { answerStoreFault } from "./store_faults.ts";

interface WriteStatusParts {
  readonly intake: Pick<Intake, "stageOf">;
  /** It is asked about runs that are not known here: of other instances, and of long ago. */
  readonly marks: Pick<Store, "marks">;
  readonly deadLetters: Pick<DeadLetters, "find">;
}

const STORE_AWAY =
  "What became of the write is known to the database, which cannot be asked now. Try again.";

export function writeStatusHandler({ intake, marks, deadLetters }: WriteStatusParts): Handler {
  return async ({ pathParameter: text }) => {
    const id = parseWriteId(text);
    if (id === undefined) throw notFound(text, "is not a write id such as 0123456789ab-42");
    switch (intake.stageOf(id.run, id.seq)) {
      case "accepted":
      case "durable":
        return answer("queued");
      case "withdrawn":
        throw notFound(text, "was never made durable: it is lost, and has to be sent again");
      case "settled":
        return answer(await settled(text));
      case "unknown":
        if (!await isInStore(id.run, id.seq)) {
          throw notFound(text, "is not known here; if it is another instance's, ask that one");
        }
        return answer(await settled(text));
    }
  };

  async function isInStore(run: string, seq: number): Promise<boolean> {
    try {
      return ((await marks.marks([run])).get(run) ?? 0) >= seq;
    } catch (error) {
      return answerStoreFault(error, STORE_AWAY);
    }
  }

  async function settled(id: string): Promise<string> {
    let rejection: Rejection | undefined;
    try {
      rejection = await deadLetters.find(id);
    } catch (error) {
      return answerStoreFault(error, STORE_AWAY);
    }
    return rejection === undefined ? "flushed" : `dead: ${rejection.code}`;
  }
}

function answer(text: string): Response {
  return new Response(text, { headers: TEXT_HEADERS });
}

function notFound(id: string, why: string): AppError {
  return new AppError("write-not-found", `"${id.slice(0, 64)}" ${why}.`);
}
