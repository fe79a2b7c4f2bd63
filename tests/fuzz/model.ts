/** What was answered, and so what must be readable afterwards and what must not. */
import assert from "node:assert/strict";
import { Dsproxy } from "../support/dsproxy.ts";
import type { Written } from "./oracle.ts";

/** Writes of one connection of which only the number of accepted ones is known. */
interface Group {
  readonly name: string;
  readonly writes: readonly Written[];
  readonly accepted: number;
  /** So many more may have been stored: their answers had no way back to the client. */
  readonly unanswered: number;
}

interface Claim extends Written {
  readonly name: string;
}

const READERS = 6;

export class Model {
  readonly #accepted = new Map<string, Claim[]>();
  readonly #never = new Map<string, string>();
  readonly #groups: Group[] = [];
  readonly #writeIds = new Set<string>();
  /** 2xx answers to writes. */
  answered = 0;
  /** Writes that may have been stored although nobody was told. */
  unanswered = 0;

  accepted(name: string, write: Written): void {
    const claims = this.#accepted.get(write.userId) ?? [];
    this.#accepted.set(write.userId, [...claims, { ...write, name }]);
  }

  never(name: string, userId: string): void {
    this.#never.set(userId, name);
  }

  group(group: Group): void {
    if (group.writes.length > 0) this.#groups.push(group);
    this.unanswered += group.unanswered;
  }

  /** An answer that says accepted. A write id names one write for ever. */
  count(writeId: string | null): void {
    this.answered++;
    if (writeId === null) return;
    assert.ok(!this.#writeIds.has(writeId), `the write id ${writeId} was given twice`);
    this.#writeIds.add(writeId);
  }

  /** Reads every user of the run. */
  async verify(proxy: Dsproxy): Promise<void> {
    const grouped = new Set(
      this.#groups.flatMap(({ writes }) => writes.map(({ userId }) => userId)),
    );
    const checks: (() => Promise<void>)[] = [
      ...[...this.#accepted.values()].map((claims) => () => assertStored(proxy, claims)),
      ...[...this.#never].filter(([userId]) => !this.#accepted.has(userId) && !grouped.has(userId))
        .map(([userId, name]) => () => assertAbsent(proxy, userId, name)),
      ...this.#groups.map((group) => () => assertGroup(proxy, group)),
    ];
    const read = async () => {
      for (let check = checks.pop(); check !== undefined; check = checks.pop()) await check();
    };
    await Promise.all(Array.from({ length: READERS }, read));
  }
}

async function assertStored(proxy: Dsproxy, claims: readonly Claim[]): Promise<void> {
  const { userId, name } = claims[0]!;
  const response = await fetch(`${proxy.url}/read?user_id=${encodeURIComponent(userId)}`);
  const stored = new Uint8Array(await response.arrayBuffer());
  assert.equal(
    response.status,
    200,
    `${name}: was accepted, but ${JSON.stringify(userId)} cannot be read`,
  );
  const ts = Number(response.headers.get("dsproxy-ts"));
  const found = claims.some((claim) =>
    sameBytes(stored, claim.value) && (claim.ts === undefined || claim.ts === ts)
  );
  assert.ok(
    found,
    `${name}: not the bytes or the time that were sent are stored for ${JSON.stringify(userId)}`,
  );
}

async function assertAbsent(proxy: Dsproxy, userId: string, name: string): Promise<void> {
  const { status, value } = await proxy.read(userId);
  assert.equal(
    status,
    404,
    `${name}: ${JSON.stringify(userId)} was never accepted, but reads as ${value.slice(0, 100)}`,
  );
}

async function assertGroup(
  proxy: Dsproxy,
  { name, writes, accepted, unanswered }: Group,
): Promise<void> {
  let stored = 0;
  for (const { userId, value } of writes) {
    const read = await proxy.read(userId);
    if (read.status === 404) continue;
    assert.deepEqual({ status: read.status, value: read.value }, { status: 200, value }, name);
    stored++;
  }
  const most = Math.min(writes.length, accepted + unanswered);
  assert.ok(
    stored >= Math.min(accepted, writes.length) && stored <= most,
    `${name}: ${accepted} of ${writes.length} writes were accepted and at most ${unanswered} ` +
      `unanswered, but ${stored} are stored`,
  );
}

function sameBytes(bytes: Uint8Array, text: string): boolean {
  const expected = new TextEncoder().encode(text);
  return bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]);
}
