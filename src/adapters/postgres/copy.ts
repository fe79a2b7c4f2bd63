/**
 * Is a COPY … FROM STDIN as the driver runs it: a statement that is asked for its data once the
 * server is ready to take it. The driver leaves that to packages; this is the part of them that is
 * needed, for data that is in memory already (ADR 1).
 */
import pg from "pg";
import { systemClock } from "../../ports/clock.ts";

/** The driver's types leave out this part of its connection, and the next one of its statements. */
type CopyConnection = pg.Connection & {
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
};

type Callback = (error: Error | null | undefined, result: pg.QueryResult) => void;

interface CopyQuery extends pg.Query {
  handleError(error: Error, connection: CopyConnection): void;
}

const Query = pg.Query as unknown as new (text: string, callback: Callback) => CopyQuery;

const HEAD_BYTES = 5;
const COPY_DATA = "d".charCodeAt(0);
/** It takes the place of a message's head until that is known. */
const HEAD_ROOM = "\0".repeat(HEAD_BYTES);
/** The server works on one message while the next one is made. */
const MESSAGE_UNITS = 32 * 1024;

const encoder = new TextEncoder();

export class CopyIn extends Query {
  readonly #rows: Iterable<string>;
  #failure: unknown;
  #isOver = false;

  /** @param rows lines in the text format, each with its end; each is asked for in its turn */
  constructor(text: string, rows: Iterable<string>, callback: Callback) {
    super(text, callback);
    this.#rows = rows;
  }

  /** It is what the rows threw, if they did: the server was told to copy nothing then. */
  get failure(): unknown {
    return this.#failure;
  }

  /**
   * Lets the event loop go on after each message: to make all of them takes longer than a client
   * should wait for the answer to a write.
   */
  async handleCopyInResponse(connection: CopyConnection): Promise<void> {
    try {
      for (const message of messages(this.#rows)) {
        if (this.#isOver) return;
        connection.stream.write(message);
        await systemClock.turn();
      }
    } catch (error) {
      this.#failure = error;
      if (!this.#isOver) connection.sendCopyFail("the rows cannot be written");
      return;
    }
    if (!this.#isOver) connection.endCopyFrom();
  }

  /** After an error, of the server or of the connection, nothing is to be sent any more. */
  override handleError(error: Error, connection: CopyConnection): void {
    this.#isOver = true;
    super.handleError(error, connection);
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
