/** `POST /write`: one record in, an acknowledgement out. `GET /writes/{id}`: what became of it. */
import { BodyReader } from "../body.ts";
import { parseWriteId, writeId } from "../../domain.ts";
import { AppError } from "../../errors.ts";
import { type Handler, parseQuery, TEXT_HEADERS } from "../problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { DeadLetters, Rejection } from "../../ports/dead_letters.ts";
import type { Intake } from "../../ports/intake.ts";
import { parseRecord, type RecordLimits } from "../record.ts";
import { ACK_LEVELS, type AckLevel, type Writer } from "../../intake/writer.ts";

export interface WriteHandlerParts {
  readonly writer: Pick<Writer, "write">;
  readonly limits: RecordLimits & { readonly bodyBytes: number };
  readonly defaultAck: AckLevel;
  readonly clock: Pick<Clock, "now">;
}

export function writeHandler(
  { writer, limits, defaultAck, clock }: WriteHandlerParts,
): Handler {
  const bodies = new BodyReader(limits.bodyBytes);
  return async ({ request, query }) => {
    const wanted = parseAck(query, defaultAck);
    const record = parseRecord(await bodies.readJson(request), limits, clock.now());
    const { entry, ack } = await writer.write(record, wanted);
    const id = writeId(entry);
    const headers: Record<string, string> = { ...TEXT_HEADERS, "dsproxy-write-id": id };
    if (ack === "flushed") return new Response("flushed", { status: 201, headers });
    if (wanted === "flushed") headers.link = `</writes/${id}>; rel="status"`;
    return new Response("accepted", { status: 202, headers });
  };
}

function parseAck(query: string, defaultAck: AckLevel): AckLevel {
  if (query === "") return defaultAck;
  const text = parseQuery(query).get("ack");
  if (text === undefined) return defaultAck;
  const level = ACK_LEVELS.find((level) => level === text);
  if (level !== undefined) return level;
  throw new AppError(
    "invalid-parameter",
    `ack=${text.slice(0, 64)} is not a level; use one of ${ACK_LEVELS.join(", ")}.`,
  );
}

/** Knows the writes of this instance; those of another one are to be asked of it. */
export function writeStatusHandler(
  journal: Pick<Intake, "stageOf">,
  deadLetters: Pick<DeadLetters, "find">,
): Handler {
  return async ({ pathParameter }) => {
    const id = parseWriteId(pathParameter);
    const stage = id === undefined ? "unknown" : journal.stageOf(id.run, id.seq);
    if (stage === "unknown" || stage === "withdrawn") {
      throw new AppError(
        "write-not-found",
        `"${pathParameter.slice(0, 64)}" is not the id of a write accepted by this instance.`,
      );
    }
    return new Response(
      stage === "settled" ? await settledStatus(deadLetters, pathParameter) : "queued",
      {
        headers: TEXT_HEADERS,
      },
    );
  };
}

async function settledStatus(deadLetters: Pick<DeadLetters, "find">, id: string): Promise<string> {
  let rejection: Rejection | undefined;
  try {
    rejection = await deadLetters.find(id);
  } catch (cause) {
    throw new AppError(
      "store-unavailable",
      "Whether the write was stored or refused can be told when the database is back.",
      { cause },
    );
  }
  return rejection === undefined ? "flushed" : `dead: ${rejection.code}`;
}
