/** `POST /write` takes one record and answers with its acknowledgement. */
import { ACK_LEVELS, type AckLevel, writeId } from "../../domain.ts";
import { AppError } from "../../errors.ts";
import type { Writer } from "../../intake/writer.ts";
import type { Clock } from "../../ports/clock.ts";
import { BodyReader } from "../body.ts";
import { type Handler, TEXT_HEADERS } from "../handler.ts";
import { parseQuery } from "../query.ts";
import { readRecord, type RecordLimits } from "../record.ts";

const LEVELS_WITHOUT_BROKER = ACK_LEVELS.filter((level) => level !== "replicated");

interface WriteHandlerParts {
  readonly writer: Pick<Writer, "write">;
  readonly limits: RecordLimits & { readonly bodyBytes: number };
  readonly defaultAck: AckLevel;
  /** Without one no write can be `replicated`. */
  readonly hasBroker?: boolean;
  readonly clock: Pick<Clock, "now" | "monotonicMs" | "setTimeout">;
}

export function writeHandler(
  { writer, limits, defaultAck, hasBroker = false, clock }: WriteHandlerParts,
): Handler {
  const bodies = new BodyReader(limits.bodyBytes, clock);
  return async ({ request, query, trace }) => {
    const wanted = parseAck(query, defaultAck, hasBroker);
    const record = readRecord(await bodies.read(request), limits, clock.now());
    const write = trace === undefined ? record : { ...record, trace: trace.context };
    const { entry, ack } = await writer.write(write, wanted);
    const id = writeId(entry);
    const headers: Record<string, string> = { ...TEXT_HEADERS, "dsproxy-write-id": id };
    // The others are always what was asked for, so that nothing has to be told of them.
    if (wanted === "flushed" || wanted === "replicated") {
      headers["dsproxy-ack"] = ack;
      if (ack !== wanted) headers.link = `</writes/${id}>; rel="status"`;
    }
    if (ack === "flushed") return new Response("flushed", { status: 201, headers });
    return new Response("accepted", { status: 202, headers });
  };
}

function parseAck(query: string, defaultAck: AckLevel, hasBroker: boolean): AckLevel {
  if (query === "") return defaultAck;
  const text = parseQuery(query).get("ack");
  if (text === undefined) return defaultAck;
  const levels = hasBroker ? ACK_LEVELS : LEVELS_WITHOUT_BROKER;
  const level = levels.find((level) => level === text);
  if (level !== undefined) return level;
  const why = text === "replicated"
    ? "needs a broker, and this instance has none"
    : "is not a level";
  throw new AppError(
    "invalid-parameter",
    `ack=${text.slice(0, 64)} ${why}; use one of ${levels.join(", ")}.`,
  );
}
