import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import { decodeHeader, HEADER_BYTES, type SegmentHeader } from "../../src/journal/codec.ts";
import { Group } from "../../src/journal/group.ts";
import { claimedRecordBytes, decodeRecord, encodeRecord } from "../../src/journal/record.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { DIR, header, open, pushAll, segmentPaths } from "../support/journals.ts";

interface Boundary {
  readonly records: number;
  readonly bytes: number;
}

/** The boundary groups in these bytes; the last is left out when nothing ends it. */
function boundariesIn(bytes: Uint8Array, of: SegmentHeader): Boundary[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Boundary[] = [];
  let open: Boundary = { records: 0, bytes: 0 };
  for (let at = 0; at < bytes.length;) {
    const size = claimedRecordBytes(view, at, bytes.length - at)!;
    open = { records: open.records + 1, bytes: open.bytes + size };
    if (decodeRecord(bytes, view, at, size, of)!.endsGroup) {
      found.push(open);
      open = { records: 0, bytes: 0 };
    }
    at += size;
  }
  return found;
}

function groupOf(values: readonly string[]): Group {
  const group = new Group(new Uint8Array(100), header.salt);
  for (const [i, value] of values.entries()) {
    const entry: Entry = { userId: "u", value, ts: 1, acceptedMs: i, run: header.run, seq: i + 1 };
    group.keep(entry, group.encode(entry));
  }
  return group;
}

Deno.test("a commit group ends with a boundary, and has more of them when it is large", () => {
  const cases: [string, string[], number[]][] = [
    ["one record", ["a"], [1]],
    ["as many as one may have", Array(1_000).fill("a"), [1_000]],
    ["one more", Array(1_001).fill("a"), [1_000, 1]],
    ["large ones", Array(10).fill("x".repeat(200_000)), [2, 2, 2, 2, 2]],
    ["one that is larger than a group", ["a", "x".repeat(600_000), "b", "c"], [1, 1, 2]],
  ];
  for (const [name, values, expected] of cases) {
    const boundaries = boundariesIn(groupOf(values).finish(), header);
    assert.deepEqual(boundaries.map(({ records }) => records), expected, name);
    for (const { records, bytes } of boundaries) {
      assert.ok(records === 1 || bytes <= 512 * 1024, `${name}: ${bytes} bytes`);
    }
  }
});

Deno.test("what is on disk is cut into boundary groups that tile all records", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a"]);
  await pushAll(journal, Array.from({ length: 2_500 }, (_, i) => `${i}`));
  const content = fs.content(segmentPaths(fs)[0]!);
  const boundaries = boundariesIn(content.subarray(HEADER_BYTES), decodeHeader(content)!);
  assert.deepEqual(boundaries.map(({ records }) => records), [1, 1_000, 1_000, 500]);
  await journal.close();
});

Deno.test("a journal that holds a deletion is refused by name, and not changed", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a"]);
  await first.journal.close();
  const path = segmentPaths(fs)[0]!;
  const content = fs.content(path);
  const entry: Entry = {
    userId: "user0",
    value: "",
    ts: 1,
    acceptedMs: 1,
    run: first.journal.run,
    seq: 2,
  };
  const bytes = new Uint8Array(200);
  const { salt } = decodeHeader(content)!;
  const size = encodeRecord(bytes, new DataView(bytes.buffer), 0, entry, salt, { tombstone: true });
  const grown = new Uint8Array(content.length + size);
  grown.set(content);
  grown.set(bytes.subarray(0, size), content.length);
  fs.put(path, grown);
  const refusal = new RegExp(
    `a later version deleted a user's value \\(write ${first.journal.run}-2 in 0000000000000001`,
  );
  await assert.rejects(open(fs), refusal);
  assert.deepEqual(fs.content(path), grown);
  assert.deepEqual(fs.paths().filter((each) => each.includes(DIR + "/quarantine")), []);
});
