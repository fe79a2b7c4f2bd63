/**
 * Requests that two readers could take apart differently. What one of them takes for data must not
 * be carried out.
 */
import {
  bodyOf,
  type CaseMaker,
  chunked,
  type Head,
  head,
  type HostileCase,
  simpleWrite,
  writeRequest,
} from "./hostile_case.ts";
import type { Seeded } from "./seeded.ts";
import { ascii, joined } from "./wire.ts";

const BAD_CODINGS = [
  "chunked, identity",
  "identity",
  "identity, chunked",
  "chunked, gzip",
  "chunked, chunked",
  "chunked,",
  ",chunked",
  "xchunked",
  "chunked;q=1",
  '"chunked"',
  "\u000bchunked",
  "chunked\0",
  "",
  "chunked\r\n\t",
  "chunked\r",
  "chu nked",
  "chunked\u00a0",
];
const OBFUSCATED_CODINGS = [
  "Transfer-Encoding : chunked",
  " Transfer-Encoding: chunked",
  "Transfer-Encoding\t: chunked",
  "Transfer_Encoding: chunked",
  "X: y\rTransfer-Encoding: chunked",
  "X: y\nTransfer-Encoding: chunked",
  "Transfer-Encoding:\r\n chunked",
  "Transfer-Encoding\0: chunked",
  "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
  "transfer-ENCODING:chunked",
  'X: "\r\nTransfer-Encoding: chunked',
  ": Transfer-Encoding: chunked",
];
const BAD_LENGTHS = [
  "+N",
  "-N",
  "N N",
  "0xN",
  "N.0",
  "Ne0",
  "",
  " ",
  "N;",
  "'N'",
  "N\0",
  "\u000cN",
  "٣",
  "9".repeat(20),
  "18446744073709551616",
  "N,0",
  "N, 0",
  "0,N",
  "N\r\n 0",
  "N\u00a0",
];

/** The request that is to stay hidden: when it is carried out, its user can be read. */
function hidden(label: string): { id: string; request: string } {
  const id = `${label}-hidden`;
  return { id, request: writeRequest(simpleWrite(id)) };
}

/**
 * Both Content-Length and Transfer-Encoding, in both orders, the one or the other covering what
 * follows.
 */
const lengthAndCoding: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const outer = simpleWrite(`${label}-outer`);
  const body = random.chance(0.5) ? chunked(bodyOf(outer)) : "0\r\n\r\n";
  const length = random.pick([
    body.length,
    body.length + request.length,
    5,
    0,
    bodyOf(outer).length,
  ]);
  const coding = random.pick(["chunked", "CHUNKED", "gzip, chunked", ...BAD_CODINGS]);
  const headers = [`Content-Length: ${length}`, `Transfer-Encoding: ${coding}`];
  const top = head({ headers: random.chance(0.5) ? headers : headers.reverse() });
  return {
    name: `${headers.join(" + ")}`,
    parts: [ascii(top + body + request)],
    writes: [outer],
    hidden: [id],
  };
};

/**
 * A coding that no server knows or that is hidden from one of two readers. Under Content-Length all
 * of it is data.
 */
const obfuscatedCoding: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const line = random.chance(0.5)
    ? `Transfer-Encoding: ${random.pick(BAD_CODINGS)}`
    : random.pick(OBFUSCATED_CODINGS);
  const body = `0\r\n\r\n${request}`;
  const headers = random.pick([[line, `Content-Length: ${body.length}`], [
    `Content-Length: ${body.length}`,
    line,
  ]]);
  return {
    name: `obfuscated ${JSON.stringify(line)}`,
    parts: [ascii(head({ headers }) + body)],
    hidden: [id],
  };
};

const codingTwice: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const second = random.pick(["chunked", "identity", "gzip", "x"]);
  const lines = [`Transfer-Encoding: chunked`, `Transfer-Encoding: ${second}`];
  const body = chunked(bodyOf(simpleWrite(`${label}-outer`)));
  const text = head({ headers: lines }) + body + request;
  return {
    name: `coding twice: ${second}`,
    parts: [ascii(text)],
    hidden: [id, `${label}-outer`],
    refused: true,
  };
};

const badLength: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const body = bodyOf(simpleWrite(`${label}-outer`));
  const length = random.pick(BAD_LENGTHS).replaceAll("N", String(body.length));
  const text = head({ headers: [`Content-Length: ${length}`] }) + body + request;
  return {
    name: `length ${JSON.stringify(length)}`,
    parts: [ascii(text)],
    hidden: [id, `${label}-outer`],
    refused: true,
  };
};

/** Two lengths, one of which makes the second request data of the first. */
const twoLengths: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const body = bodyOf(simpleWrite(`${label}-outer`));
  const lengths = random.pick([[body.length, body.length + request.length], [0, body.length], [
    body.length,
    0,
  ], [
    1,
    2,
  ]]);
  const headers = (random.chance(0.5) ? lengths : lengths.reverse()).map((length) =>
    `Content-Length: ${length}`
  );
  const text = head({ headers }) + body + request;
  return {
    name: headers.join(" + "),
    parts: [ascii(text)],
    hidden: [id, `${label}-outer`],
    refused: true,
  };
};

/**
 * The whole hidden request is the data of one that reads no body, or that is refused before its
 * body is read.
 */
const insideUnreadBody: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const outer = random.pick<Head & { bodiless?: true; status: number }>([
    { method: "GET", target: "/livez", status: 200 },
    { method: "HEAD", target: "/livez", status: 200, bodiless: true },
    { method: "GET", target: `/read?user_id=${label}`, status: 404 },
    { method: "DELETE", status: 405 },
    { method: "OPTIONS", status: 204 },
    { target: "/nowhere", status: 404 },
    { target: "/write?ack=never", status: 400 },
    { headers: ["Content-Type: multipart/x"], status: 415 },
    { headers: ["Origin: https://evil.example"], status: 403 },
    { headers: ["Expect: 100-continue"], target: "/nowhere", status: 404 },
  ]);
  const filler = random.chance(0.5) ? "" : "x".repeat(random.between(1, 5000));
  const body = filler + request;
  const inChunks = random.chance(0.5);
  const framing = inChunks ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
  const top = head({ ...outer, headers: [...(outer.headers ?? []), framing] });
  return {
    name: `inside the body of ${outer.method ?? "POST"} ${outer.target ?? "/write"}`,
    parts: random.split(joined(top, inChunks ? chunked(body) : body), 4),
    requests: [{ statuses: [outer.status], ...(outer.bodiless && { bodiless: true }) }],
    hidden: [id],
  };
};

/**
 * A length that is larger than the body takes what follows for data; a smaller one makes the rest
 * no request.
 */
const wrongLength: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const outer = simpleWrite(`${label}-outer`);
  const body = bodyOf(outer);
  const longer = random.chance(0.5);
  const length = longer
    ? body.length + random.between(1, request.length)
    : body.length - random.between(1, body.length - 1);
  const text = head({ headers: [`Content-Length: ${length}`] }) + body + request;
  return {
    name: `a body of ${body.length} bytes as ${length}`,
    parts: random.split(ascii(text), 3),
    hidden: [id, outer.userId],
  };
};

const upgrade: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const to = random.pick(["websocket", "h2c", "HTTP/2.0", "x"]);
  const inChunks = random.chance(0.5);
  const headers = [
    "Connection: Upgrade, HTTP2-Settings",
    `Upgrade: ${to}`,
    "HTTP2-Settings: AAMAAABkAAQAAP__",
  ];
  headers.push(inChunks ? "Transfer-Encoding: chunked" : `Content-Length: ${request.length}`);
  const top = head({ method: random.pick(["GET", "POST"]), target: "/livez", headers });
  return {
    name: `upgrade to ${to} with a body`,
    parts: [ascii(top + (inChunks ? chunked(request) : request))],
    hidden: [id],
  };
};

/** HTTP/1.0 has no chunks, and no second request unless asked for. */
const oldVersion: CaseMaker = (random, label) => {
  const { id, request } = hidden(label);
  const outer = simpleWrite(`${label}-outer`);
  const version = "HTTP/1.0";
  if (random.chance(0.5)) {
    const text = head({ version, headers: ["Transfer-Encoding: chunked"] }) +
      chunked(bodyOf(outer)) + request;
    return {
      name: "chunks in HTTP/1.0",
      parts: [ascii(text)],
      hidden: [id, outer.userId],
      refused: true,
    };
  }
  const text = writeRequest(outer, { version }) + request;
  return { name: "two in HTTP/1.0", parts: [ascii(text)], writes: [outer], hidden: [id] };
};

export const framingCase: CaseMaker = (random: Seeded, label: string): HostileCase => {
  const make = random.pick([
    lengthAndCoding,
    lengthAndCoding,
    obfuscatedCoding,
    obfuscatedCoding,
    codingTwice,
    badLength,
    twoLengths,
    insideUnreadBody,
    insideUnreadBody,
    wrongLength,
    upgrade,
    oldVersion,
  ]);
  const made = make(random, label);
  return { ...made, name: `${label}: ${made.name}` };
};
