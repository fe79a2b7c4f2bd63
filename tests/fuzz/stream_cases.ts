/** Streams of requests: many at once, cut off, damaged, or no HTTP at all. */
import {
  bodyOf,
  type CaseMaker,
  chunked,
  type Expected,
  head,
  type HostileCase,
  simpleWrite,
  writeRequest,
} from "./hostile_case.ts";
import type { Written } from "./oracle.ts";
import type { Seeded } from "./seeded.ts";
import { ascii, joined } from "./wire.ts";

/** Many requests in one go, some of them reads and errors. All are answered, in their order. */
const pipeline: CaseMaker = (random, label) => {
  const requests: Expected[] = [];
  const texts: string[] = [];
  for (let i = random.between(2, 25); i > 0; i--) {
    const write = simpleWrite(`${label}-${i}`);
    const [text, expected] = random.pick<[string, Expected]>([
      [writeRequest(write), { statuses: [202], write }],
      [writeRequest(write, { target: "/write?ack=accepted" }), { statuses: [202], write }],
      [writeRequest(write, { target: "http://elsewhere.example/write" }), {
        statuses: [202],
        write,
      }],
      [head({ method: "GET", target: "/read?user_id=nobody" }), { statuses: [404] }],
      [head({ method: "HEAD", target: "/livez" }), { statuses: [200], bodiless: true }],
      [head({ method: "OPTIONS", target: "*" }), { statuses: [404] }],
      [head({ method: "GET", target: "/livez", headers: ["Expect: 100-continue"] }), {
        statuses: [200],
      }],
      [`\r\n${head({ method: "DELETE", target: "/livez" })}`, { statuses: [405] }],
    ]);
    requests.push(expected);
    texts.push(text);
  }
  return { name: "pipeline", parts: random.split(ascii(texts.join("")), 8), requests };
};

/** The client goes away at some byte. Only what was sent as a whole may have been carried out. */
const cutOff: CaseMaker = (random, label) => {
  const [first, second] = [simpleWrite(`${label}-1`), simpleWrite(`${label}-2`)];
  const inChunks = random.chance(0.5);
  const one = (write: Written) =>
    inChunks
      ? head({ headers: ["Transfer-Encoding: chunked"] }) + chunked(bodyOf(write))
      : writeRequest(write);
  const texts = [one(first), one(second)];
  const all = ascii(texts.join(""));
  const end = random.chance(0.2)
    ? texts[0]!.length + random.between(-3, 0)
    : random.between(1, all.length);
  const whole = [first, second].filter((_, i) => end >= texts.slice(0, i + 1).join("").length);
  const hidden = [first, second].filter((write) => !whole.includes(write)).map(({ userId }) =>
    userId
  );
  return {
    name: `cut off at byte ${end}`,
    parts: random.split(all.subarray(0, end), 3),
    writes: whole,
    hidden,
    cut: true,
  };
};

/** Damage everywhere but in the records, so that what is stored is what was meant. */
const damaged: CaseMaker = (random, label) => {
  const writes = Array.from(
    { length: random.between(1, 4) },
    (_, i) => simpleWrite(`${label}-${i}`),
  );
  const pieces = writes.flatMap((write) => {
    const body = bodyOf(write);
    const [before, after] = random.chance(0.5)
      ? [head({ headers: [`Content-Length: ${body.length}`] }), ""]
      : [
        `${head({ headers: ["Transfer-Encoding: chunked"] })}${body.length.toString(16)}\r\n`,
        "\r\n0\r\n\r\n",
      ];
    const damage = (text: string) => random.chance(0.5) ? random.mutated(ascii(text)) : ascii(text);
    return [damage(before), ascii(body), damage(after)];
  });
  return { name: "damaged", parts: random.split(joined(...pieces), 4), writes, mayStall: true };
};

const garbage: CaseMaker = (random, label) => {
  const words = [
    "GET ",
    "POST ",
    "/",
    " HTTP/1.1",
    "\r\n",
    "\n",
    "\r",
    ": ",
    "Host",
    "Content-Length",
    "0",
    "9",
    "\0",
    "\t",
    "é",
    "%",
  ];
  const noise = random.pick([
    () => random.bytes(random.between(1, 3000)),
    () => ascii(random.text(random.between(1, 300), words)),
    // It begins as TLS does.
    () => joined(Uint8Array.from([22, 3, 1]), random.bytes(random.between(1, 300))),
  ])();
  const hidden = simpleWrite(`${label}-hidden`);
  // No line of a request can begin with this byte, so that what follows it is none.
  return {
    name: "garbage",
    parts: [joined(noise, "\u0001", writeRequest(hidden))],
    hidden: [hidden.userId],
    mayStall: true,
  };
};

/** What HTTP forbids a server to read as a request at all. */
const malformed: CaseMaker = (random, label) => {
  const hidden = [simpleWrite(`${label}-1`), simpleWrite(`${label}-2`)] as const;
  const text = random.pick([
    () =>
      writeRequest(hidden[0], {
        version: random.pick([
          "HTTP/1.2",
          "http/1.1",
          "HTTP/1.1 x",
          "HTTP/11",
          "HTTQ/1.1",
          "",
          "HTTP/1.1\u00a0",
        ]),
      }),
    () =>
      writeRequest(hidden[0], {
        target: random.pick(["write", "/write\0", "/write\u0001", "/wri te", "", "*", "?x"]),
      }),
    () =>
      writeRequest(hidden[0], { method: random.pick(["PO ST", "POST\0", "", "\u00c9", "(POST)"]) }),
    () =>
      writeRequest(hidden[0], {
        headers: [
          random.pick([
            "X: a\0b",
            "X\u0001: a",
            "X: a\r\n b",
            "X",
            ": x",
            "X : a",
            "X: a\rb",
            "X: \u007f",
            "X\u00e9: a",
          ]),
        ],
      }),
    () => writeRequest(hidden[0], { headers: ["Host: another"] }),
    () =>
      writeRequest(hidden[0], {
        headers: Array.from({ length: random.between(127, 300) }, (_, i) => `X${i}: y`),
      }),
    () =>
      writeRequest(hidden[0], { headers: [`X: ${"x".repeat(random.between(66_000, 300_000))}`] }),
    () =>
      writeRequest(hidden[0], { target: `/write?${"x".repeat(random.between(66_000, 300_000))}` }),
  ])();
  const name = `malformed ${JSON.stringify(text.slice(0, 60))}`;
  return {
    name,
    parts: [ascii(text + writeRequest(hidden[1]))],
    hidden: hidden.map(({ userId }) => userId),
    refused: true,
  };
};

/**
 * Unusual, but not wrong. Whether it is answered or refused, it is done as a whole or not at all.
 */
const unusual: CaseMaker = (random, label) => {
  const writes = [simpleWrite(`${label}-1`), simpleWrite(`${label}-2`)];
  const [first, second] = writes.map((write) => writeRequest(write)) as [string, string];
  const request = (headers: string[]) => writeRequest(writes[0]!, { headers });
  const text = random.pick([
    () => first.replaceAll("\r\n", "\n"),
    () => first.replace("Host: dsproxy\r\n", ""),
    () =>
      first.replace(
        "dsproxy",
        random.pick(["", "x y", "x/../", "@", "[::1", "x:99999", "x?y#z", "\\", "x/metrics?"]),
      ),
    () =>
      first.replace(
        "/write",
        random.pick([
          "https://h:1/write",
          "x://h/write",
          "http://h",
          "http://h?x=/write",
          "//write",
          "/write#x",
        ]),
      ),
    () => first.replace("HTTP/1.1", "HTTP/1.0"),
    () => `\r\n\r\n${first}`,
    () => request(["Expect: 100-continue"]),
    () => request(["Connection: close"]),
    () => request([`X: ${"x".repeat(60_000)}`]),
    // CONNECT has no body, whatever its length says.
    () =>
      head({ method: "CONNECT", target: "h:80", headers: [`Content-Length: ${first.length}`] }) +
      first,
  ])();
  return {
    name: `unusual ${JSON.stringify(text.slice(0, 60))}`,
    parts: random.split(ascii(text + second), 3),
    writes,
  };
};

export function streamCase(random: Seeded, label: string): HostileCase {
  const make = random.pick([
    pipeline,
    pipeline,
    cutOff,
    cutOff,
    cutOff,
    damaged,
    damaged,
    garbage,
    malformed,
    malformed,
    unusual,
  ]);
  const made = make(random, label);
  return { ...made, name: `${label}: ${made.name}` };
}
