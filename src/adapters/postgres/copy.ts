/**
 * Is a COPY … FROM STDIN as the driver runs it: a statement that is asked for its data once the
 * server is ready to take it. The driver leaves that to packages; this is the part of them that is
 * needed, for data that is in memory already (ADR 1).
 */
import pg from "pg";

/** The driver's types leave out this part of its connection. */
type CopyConnection = pg.Connection & {
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
};

type Callback = (error: Error | null | undefined, result: pg.QueryResult) => void;

const HEAD_BYTES = 5;
const COPY_DATA = "d".charCodeAt(0);
/** It takes the place of a message's head until that is known. */
const HEAD_ROOM = "\0".repeat(HEAD_BYTES);
/** The server works on one message while the next one is made. */
const MESSAGE_UNITS = 32 * 1024;

const encoder = new TextEncoder();

export class CopyIn extends pg.Query {
  readonly #rows: Iterable<string>;
  #failure: unknown;

  /** @param rows lines in the text format, each with its end; each is asked for in its turn */
  constructor(text: string, rows: Iterable<string>, callback: Callback) {
    super(text, callback);
    this.#rows = rows;
  }

  /** It is what the rows threw, if they did: the server was told to copy nothing then. */
  get failure(): unknown {
    return this.#failure;
  }

  handleCopyInResponse(connection: CopyConnection): void {
    try {
      for (const message of messages(this.#rows)) connection.stream.write(message);
    } catch (error) {
      this.#failure = error;
      return connection.sendCopyFail("the rows cannot be written");
    }
    connection.endCopyFrom();
  }
}

/** The messages need not end where rows do, but here they do. */
function* messages(rows: Iterable<string>): Iterable<Uint8Array> {
  let text = HEAD_ROOM;
  for (const row of rows) {
    text += row;
    if (text.length < MESSAGE_UNITS) continue;
    yield message(text);
    text = HEAD_ROOM;
  }
  if (text.length > HEAD_BYTES) yield message(text);
}

function message(text: string): Uint8Array {
  const bytes = encoder.encode(text);
  bytes[0] = COPY_DATA;
  new DataView(bytes.buffer).setUint32(1, bytes.length - 1);
  return bytes;
}
