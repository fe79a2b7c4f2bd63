/**
 * Bodies in chunks that are not quite chunks. A body whose end is in doubt is no body, and what
 * follows no request.
 */
import {
  bodyOf,
  type CaseMaker,
  head,
  type HostileCase,
  randomlyChunked,
  simpleWrite,
  writeRequest,
} from "./hostile_case.ts";
import type { Seeded } from "./seeded.ts";
import { ascii, joined } from "./wire.ts";

/** In these N stands for the right size in hexadecimal. */
const BAD_SIZES = [
  "g",
  "-1",
  "+N",
  "0xN",
  "",
  " ",
  "N\0",
  "N,1",
  "N N",
  "N;\n",
  "N;a\rb",
  "N\u00a0",
  "f".repeat(17),
  "\tN",
  "N\r\r",
  "Nh",
];
const BAD_LINE_ENDS = ["\n", "\r", "", "\n\r", "\r\r\n", " \n"];
const BAD_TRAILERS = [
  "Xy\r\n",
  "X: y\n\n",
  "X: y\r\n z\r\n",
  "X: \0\r\n",
  ": y\r\n",
  "X : y\r\n",
  "POST /write HTTP/1.1\r\nHost: x\r\n",
];

interface ChunkText {
  readonly name: string;
  readonly text: (body: string) => string;
  /** Its time limit ends it, not the reader of chunks. */
  readonly mayStall?: true;
}

function badChunks(random: Seeded): ChunkText {
  const size = (body: string) => body.length.toString(16);
  const bad = random.pick(BAD_SIZES);
  const end = random.pick(BAD_LINE_ENDS);
  const trailer = random.pick(BAD_TRAILERS);
  return random.pick<ChunkText>([
    {
      name: `size ${JSON.stringify(bad)}`,
      text: (body) => `${bad.replace("N", size(body))}\r\n${body}\r\n0\r\n\r\n`,
    },
    {
      name: `after the size ${JSON.stringify(end)}`,
      text: (body) => `${size(body)}${end}${body}\r\n0\r\n\r\n`,
    },
    {
      name: `after the data ${JSON.stringify(end)}`,
      text: (body) => `${size(body)}\r\n${body}${end}0\r\n\r\n`,
    },
    {
      name: `at the end ${JSON.stringify(end)}`,
      text: (body) => `${size(body)}\r\n${body}\r\n0${end}${end}`,
    },
    {
      name: `trailer ${JSON.stringify(trailer)}`,
      text: (body) => `${size(body)}\r\n${body}\r\n0\r\n${trailer}\r\n`,
    },
    {
      name: "a size too small",
      text: (body) => `${(body.length - 3).toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    },
    {
      name: "a size too large",
      text: (body) => `${(body.length + 3).toString(16)}\r\n${body}\r\n0\r\n\r\n`,
      mayStall: true,
    },
    {
      name: "an endless size",
      text: (body) => `7fffffffffffffff\r\n${body}\r\n0\r\n\r\n`,
      mayStall: true,
    },
    {
      name: "an endless extension",
      text: (body) => `${size(body)};${"x".repeat(6000)}\r\n${body}\r\n0\r\n\r\n`,
    },
    {
      name: "an endless trailer",
      text: (body) => `${size(body)}\r\n${body}\r\n0\r\nX: ${"x".repeat(70_000)}\r\n\r\n`,
      mayStall: true,
    },
  ]);
}

const bad: CaseMaker = (random, label) => {
  const outer = simpleWrite(`${label}-outer`);
  const hidden = simpleWrite(`${label}-hidden`);
  const { name, text, mayStall } = badChunks(random);
  const target = random.chance(0.8) ? "/write" : "/nowhere";
  const request = head({ target, headers: ["Transfer-Encoding: chunked"] }) + text(bodyOf(outer)) +
    writeRequest(hidden);
  return {
    name: `${label}: chunks, ${name}`,
    parts: random.split(ascii(request), 4),
    hidden: [outer.userId, hidden.userId],
    ...(mayStall && { mayStall }),
  };
};

/** Odd, but right: it must be read. */
const good: CaseMaker = (random, label) => {
  const write = simpleWrite(`${label}-write`);
  const body = randomlyChunked(random, ascii(bodyOf(write)));
  return {
    name: `${label}: chunks that are right`,
    parts: random.split(
      joined(
        head({
          headers: [`Transfer-Encoding: ${random.pick(["chunked", "CHUNKED", "\tchunked "])}`],
        }),
        body,
      ),
      6,
    ),
    requests: [{ statuses: [202], write }],
  };
};

/** What spells a chunk and a request is the data of another chunk. */
const nested: CaseMaker = (random, label) => {
  const hidden = simpleWrite(`${label}-hidden`);
  const data = `0\r\n\r\n${writeRequest(hidden)}`;
  return {
    name: `${label}: chunks within a chunk`,
    parts: random.split(
      joined(
        head({ headers: ["Transfer-Encoding: chunked"] }),
        randomlyChunked(random, ascii(data)),
      ),
      4,
    ),
    requests: [{ statuses: [400] }],
    hidden: [hidden.userId],
  };
};

export function chunkCase(random: Seeded, label: string): HostileCase {
  return random.pick([bad, bad, bad, good, nested])(random, label);
}
