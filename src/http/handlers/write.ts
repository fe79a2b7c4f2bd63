/** `POST /write` takes one record and answers with its acknowledgement. */
import { ACK_LEVELS, type AckLevel, writeId } from "../../domain.ts";
import { AppError } from "../../errors.ts";
import type { Writer } from "../../intake/writer.ts";
import type { Clock } from "../../ports/clock.ts";
import { BodyReader } from "../body.ts";
import { type Handler, TEXT_HEADERS } from "../handler.ts";
import { parseQuery } from "../query.ts";
import { readRecord, type RecordLimits } from "../record.ts";

interface WriteHandlerParts {
  readonly writer: Pick<Writer, "write">;
  readonly limits: RecordLimits & { readonly bodyBytes: number };
  readonly defaultAck: AckLevel;
  readonly clock: Pick<Clock, "now" | "monotonicMs" | "setTimeout">;
}

export function writeHandler(
  { writer, limits, defaultAck, clock }: WriteHandlerParts,
): Handler {
  const bodies = new BodyReader(limits.bodyBytes, clock);
  return async ({ request, query }) => {
    const wanted = parseAck(query, defaultAck);
    const record = readRecord(await bodies.read(request), limits, clock.now());
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
