/**
 * HTTP/2 without TLS, which Deno's server speaks to whoever opens with its preface: frames that are
 * right and wrong.
 */
import {
  bodyOf,
  type CaseMaker,
  type HostileCase,
  simpleWrite,
  writeRequest,
} from "./hostile_case.ts";
import type { Seeded } from "./seeded.ts";
import { type Answer, ascii, joined } from "./wire.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [
  0,
  1,
  3,
  4,
  6,
  7,
  8,
  9,
];
const END_STREAM = 1;
const END_HEADERS = 4;
const FRAME_HEAD_BYTES = 9;

function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(),
): Uint8Array {
  const head = new DataView(new ArrayBuffer(FRAME_HEAD_BYTES));
  head.setUint32(0, payload.length << 8 | type);
  head.setUint8(4, flags);
  head.setUint32(5, stream);
  return joined(new Uint8Array(head.buffer), payload);
}

/**
 * HPACK without its tables or its compression: each name and value as it is. All shorter than 127
 * bytes.
 */
function fields(...pairs: readonly (readonly [string, string])[]): Uint8Array {
  const text = (value: string) => joined(Uint8Array.from([ascii(value).length]), value);
  return joined(
    ...pairs.flatMap(([name, value]) => [Uint8Array.from([0]), text(name), text(value)]),
  );
}

function request(method: string, path: string, ...more: (readonly [string, string])[]): Uint8Array {
  return fields([":method", method], [":scheme", "http"], [":path", path], [
    ":authority",
    "dsproxy",
  ], ...more);
}

const opening = joined(PREFACE, frame(SETTINGS, 0, 0));

/**
 * The answers that accept a write; of the others, nothing is compressed simply enough to be read
 * here.
 */
export function readHttp2(bytes: Uint8Array): { answers: Answer[]; rest: number } {
  const answers: Answer[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + FRAME_HEAD_BYTES <= bytes.length;) {
    const length = view.getUint32(at) >>> 8;
    const body = bytes.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length);
    if (bytes[at + 3] === DATA && new TextDecoder().decode(body) === "accepted") {
      answers.push({ status: 202, headers: new Headers(), body });
    }
    at += FRAME_HEAD_BYTES + length;
  }
  return { answers, rest: 0 };
}

const valid: CaseMaker = (random, label) => {
  const writes = Array.from(
    { length: random.between(1, 5) },
    (_, i) => simpleWrite(`${label}-${i}`),
  );
  const frames = writes.flatMap((write, i) => {
    const body = ascii(bodyOf(write));
    const length = random.chance(0.5) ? [["content-length", String(body.length)] as const] : [];
    return [
      frame(HEADERS, END_HEADERS, 2 * i + 1, request("POST", "/write", ...length)),
      frame(DATA, END_STREAM, 2 * i + 1, body),
    ];
  });
  return {
    name: "writes",
    parts: random.split(joined(opening, ...frames), 5),
    requests: writes.map((write) => ({ statuses: [202], write })),
  };
};

/**
 * The length in the header and the frames do not agree, or there is what HTTP/2 has no place for.
 */
const contradictory: CaseMaker = (random, label) => {
  const write = simpleWrite(`${label}-write`);
  const body = ascii(bodyOf(write));
  const header = random.pick<readonly [string, string]>([
    ["content-length", String(body.length - 1)],
    ["content-length", String(body.length + 1)],
    ["content-length", "x"],
    ["transfer-encoding", "chunked"],
    ["connection", "close"],
    ["X-Upper", "y"],
    ["x", "a\r\nb: c"],
    [":path", "/write"],
  ]);
  const frames = [
    frame(HEADERS, END_HEADERS, 1, request("POST", "/write", header)),
    frame(DATA, END_STREAM, 1, body),
  ];
  return {
    name: `with ${JSON.stringify(header)}`,
    parts: [joined(opening, ...frames)],
    hidden: [write.userId],
  };
};

/** Cancelled streams, floods of small frames, endless headers, frames of any content. */
const noise: CaseMaker = (random, label) => {
  const hidden = simpleWrite(`${label}-hidden`);
  const some = <T>(make: (i: number) => T) =>
    Array.from({ length: random.between(1, 200) }, (_, i) => make(i));
  const frames = random.pick<() => Uint8Array[]>([
    () =>
      some((i) =>
        joined(
          frame(HEADERS, END_HEADERS, 2 * i + 1, request("POST", "/write")),
          frame(RST_STREAM, 0, 2 * i + 1, new Uint8Array(4)),
        )
      ),
    () => some(() => frame(PING, 0, 0, random.bytes(8))),
    () => some(() => frame(SETTINGS, 0, 0, random.bytes(6))),
    () => [
      frame(HEADERS, 0, 1, request("GET", "/livez")),
      ...some(() => frame(CONTINUATION, 0, 1, fields(["x", "y".repeat(120)]))),
    ],
    () =>
      some(() =>
        frame(
          random.between(0, 12),
          random.between(0, 255),
          random.between(0, 9),
          random.bytes(random.between(0, 40)),
        )
      ),
    () => [
      frame(WINDOW_UPDATE, 0, 0, Uint8Array.from([127, 255, 255, 255])),
      frame(GOAWAY, 0, 0, random.bytes(8)),
    ],
    () => [frame(HEADERS, END_HEADERS, 1, random.bytes(random.between(1, 100)))],
    () => [ascii(writeRequest(hidden))],
  ])();
  return {
    name: "noise",
    parts: random.split(joined(opening, ...frames), 4),
    hidden: [hidden.userId],
    mayStall: true,
  };
};

export function http2Case(random: Seeded, label: string): HostileCase {
  const made = random.pick([valid, contradictory, noise])(random, label);
  return { ...made, name: `${label}: HTTP/2 ${made.name}`, http2: true };
}
