/** Well-framed requests with records that are right, nearly right and not right at all. */
import { type Expected, head, type HostileCase, randomlyChunked } from "./hostile_case.ts";
import { judge } from "./oracle.ts";
import type { Seeded } from "./seeded.ts";
import { ascii, joined } from "./wire.ts";

const LETTERS = [
  ..."abcXYZ019 _-.%+&=?#/\\\"'<>{}[]:,",
  "\t",
  "\n",
  "\r",
  "\u0001",
  "\u007f",
  "é",
  "ß",
  "\u2028",
  "\ufeff",
  "\uffff",
  "中",
  "😀",
  "👩‍👩‍👧",
];
const NUMBERS = [
  "0",
  "-0",
  "-1",
  "1.5",
  "1e400",
  "-1e400",
  "1E5",
  "1e-7",
  "9007199254740993",
  "00",
  "0x1",
  "+1",
  "1.",
  ".5",
  "NaN",
  "Infinity",
  "-",
  "1".repeat(400),
];
const TEXTS = [
  '""',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
  '"a\\u0000b"',
  '"trailing\\u0000"',
  '"a\u0001b"',
  '"\\x41"',
  "'a'",
  '"open',
  '"\\u12"',
  '"\\uD83D\\uDE00"',
  '"\u0000"',
];
const OTHERS = [
  "null",
  "true",
  "[]",
  "{}",
  "undefined",
  "",
  "[1,]",
  '{"a":1,}',
  "//",
  '{"user_id":"x","value":"y"}',
];
const NOT_UTF8 = [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98], [0x80], [
  0xf4,
  0x90,
  0x80,
  0x80,
], [
  0xfe,
  0xff,
]];
const NAMES = [
  "user_id",
  "value",
  "ts",
  "admin",
  "",
  "__proto__",
  "constructor",
  "User_id",
  "user_id ",
  "\\u0075ser_id",
  "x".repeat(300),
];

type Members = [name: string, json: string][];

export function recordCase(random: Seeded, label: string): HostileCase {
  const count = random.chance(0.3) ? random.between(2, 5) : 1;
  const requests = Array.from(
    { length: count },
    (_, i) => recordRequest(random, `${label}-${i}`, i === count - 1),
  );
  return {
    name: `${label}: records`,
    parts: random.split(joined(...requests.map(({ bytes }) => bytes)), 3),
    requests: requests.map(({ expected }) => expected),
  };
}

/**
 * @param last the server may close the connection after it, for example because it does not read
 * the whole body
 */
function recordRequest(
  random: Seeded,
  userId: string,
  last: boolean,
): { bytes: Uint8Array; expected: Expected } {
  const body = randomBody(random, userId, last);
  const verdict = judge(body, Date.now() / 1000);
  const query = random.chance(0.8) ? { text: "" } : randomQuery(random, last);
  const type = random.chance(0.8) ? { header: [] } : randomType(random, last);
  const refusal = query.status ?? type.status;
  const accepted = query.text.includes("flushed") ? [201, 202] : [202];
  const write = verdict.write;
  const inChunks = last && random.chance(0.4);
  const framing = inChunks ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
  const top = head({ target: `/write${query.text}`, headers: [...type.header, framing] });
  return {
    bytes: joined(top, inChunks ? randomlyChunked(random, body) : body),
    expected: {
      statuses: refusal !== undefined
        ? [refusal]
        : verdict.status === 202
        ? accepted
        : [verdict.status],
      ...(write && { write }),
    },
  };
}

function randomBody(random: Seeded, userId: string, last: boolean): Uint8Array {
  const members = validMembers(random, userId);
  const valid = () => ascii(document(random, members));
  const shapes: (() => Uint8Array)[] = [
    valid,
    valid,
    () => ascii(document(random, replaced(random, members))),
    () => ascii(document(random, replaced(random, members))),
    () => ascii(document(random, [...members, [random.pick(NAMES), randomJson(random)]])),
    () => ascii(document(random, [[random.pick(NAMES), randomJson(random)], ...members])),
    () => ascii(document(random, members.filter(() => random.chance(0.7)))),
    () => ascii(randomJson(random)),
    () => withOddBytes(random, valid()),
    () => random.mutated(valid()),
    () => random.mutated(valid(), 10),
    () => random.bytes(random.between(0, 200)),
  ];
  if (random.chance(0.05)) return nearLimit(random, userId, last);
  return random.pick(shapes)();
}

function validMembers(random: Seeded, userId: string): Members {
  const now = Math.floor(Date.now() / 1000);
  const members: Members = [
    ["user_id", jsonString(random, userId + random.text(random.between(0, 12), LETTERS))],
    ["value", jsonString(random, random.text(random.between(0, 60), LETTERS))],
  ];
  if (random.chance(0.4)) {
    members.push(["ts", String(random.pick([0, 1, now, now + 86_000, random.between(0, now)]))]);
  }
  return random.chance(0.3) ? members.reverse() : members;
}

function replaced(random: Seeded, members: Members): Members {
  const at = random.between(0, members.length);
  const [name] = members[at] ?? ["ts"];
  return [...members.filter((_, i) => i !== at), [name, randomJson(random)]];
}

function document(random: Seeded, members: Members): string {
  const space = () => random.chance(0.2) ? random.pick([" ", "\n", "\t\r\n", "  "]) : "";
  const pairs = members.map(([name, json]) =>
    `${space()}"${name}"${space()}:${space()}${json}${space()}`
  );
  return `${space()}{${pairs.join(",")}}${space()}`;
}

/** The same text has many spellings in JSON. */
function jsonString(random: Seeded, text: string): string {
  if (random.chance(0.6)) return JSON.stringify(text);
  const units = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("")}"`;
}

function randomJson(random: Seeded): string {
  const depth = random.between(1, random.chance(0.1) ? 20_000 : 100);
  return random.pick<() => string>([
    () => random.pick(NUMBERS),
    () => random.pick(TEXTS),
    () => random.pick(TEXTS),
    () => random.pick(OTHERS),
    () => "[".repeat(depth) + "]".repeat(random.chance(0.8) ? depth : depth - 1),
    () => '{"a":'.repeat(depth) + "1" + "}".repeat(depth),
    () => jsonString(random, random.text(random.between(1, 20), LETTERS)),
  ])();
}

function withOddBytes(random: Seeded, body: Uint8Array): Uint8Array {
  const at = random.between(0, body.length);
  const odd = random.pick<() => Uint8Array>([
    () => Uint8Array.from(random.pick(NOT_UTF8)),
    () => Uint8Array.from([0]),
    () => ascii("\ufeff"),
  ])();
  if (random.chance(0.3)) return joined("\ufeff", body);
  return joined(body.subarray(0, at), odd, body.subarray(at));
}

function nearLimit(random: Seeded, userId: string, last: boolean): Uint8Array {
  const excess = random.pick([-1, 0, 1, 1]);
  const record = (id: string, value: string) => JSON.stringify({ user_id: id, value });
  const longId = userId.padEnd(512 + excess, "x");
  const longValue = "é".repeat(128 * 1024 - 1) + "x".repeat(2 + excess);
  const shapes = [() => ascii(record(longId, "v")), () => ascii(record(userId, longValue))];
  // Refused before it is read, so that the connection ends.
  if (last) shapes.push(() => ascii(record(userId, "v").padEnd(1024 * 1024 + excess, " ")));
  return random.pick(shapes)();
}

interface Query {
  readonly text: string;
  readonly status?: number;
}

/** A refused one is answered before the body is read, which may end the connection. */
function randomQuery(random: Seeded, last: boolean): Query {
  const good: Query[] = [
    "?",
    "?ack=durable",
    "?ack=accepted",
    "?ack=flushed",
    "?%61ck=durable&x=1",
    "?&&ack=durable&",
  ]
    .map((text) => ({ text }));
  const bad: Query[] = [
    "?ack=",
    "?ack",
    "?ack=Durable",
    "?ack=durable&ack=durable",
    "?%zz",
    "?ack=%ff",
    "?x=%ed%a0%80",
    "?ack=durable%00",
  ]
    .map((text) => ({ text, status: 400 }));
  return random.pick(last ? [...good, ...bad] : good);
}

function randomType(random: Seeded, last: boolean): { header: string[]; status?: number } {
  const good = [
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "",
    ";;;",
    "application/json; charset=utf-8",
    'a/b;charset="UTF8"',
    "x".repeat(2000),
  ]
    .map((type) => ({ header: [`Content-Type: ${type}`] }));
  const bad = [
    "multipart/form-data; boundary=x",
    "MULTIPART/mixed",
    "application/json; charset=latin1",
    'text/plain ; charset = "utf-16"',
  ]
    .map((type) => ({ header: [`Content-Type: ${type}`], status: 415 }));
  return random.pick(last ? [...good, ...bad] : good);
}
