/**
 * What clients were promised, and whether it was kept: invariants 1 to 6 of the contract, checked
 * the moment that something could break them.
 */
import { compareVersions, type Entry, newest, writeId } from "../../src/domain.ts";
import type { EntryGroup } from "../../src/ports/group_store.ts";
import type { WriteResult } from "../../src/intake/writer.ts";
import type { Batch } from "../../src/ports/source.ts";
import {
  cameAgainUnseen,
  isRefusedValue,
  isStored,
  type ModelWrite,
  nameOf,
  promisedEntry,
  sentWrite,
} from "./model_write.ts";
import type { StoredRow } from "./store.ts";
import type { World } from "./world.ts";

/** Longer than any run. */
const KEPT_FOR_SURE_MS = 1_800_000;

/** What was looked up is good for so long. */
const LOOKED_UP_MS = 1_000;

export class Model {
  readonly #writes = new Map<string, ModelWrite>();
  readonly #byUser = new Map<string, ModelWrite[]>();
  /** The value that each write id was given to. */
  readonly #namedBy = new Map<string, string>();
  /** The disk itself did not keep what it had confirmed: bits were flipped, or a sync failed. */
  diskLied = false;
  acknowledged = 0;
  reads = 0;
  replicated = 0;

  /** @param keepsMs how long what was settled is kept, to be sent again; 0: perhaps not at all */
  constructor(private readonly world: World, private keepsMs: number) {}

  /** What is kept is given up then, before a write is refused. */
  diskIsFull(): void {
    this.keepsMs = 0;
  }

  /** @param machine it is sent to this one */
  begin(machine: number, userId: string, value: string, ts: number): ModelWrite {
    const write = sentWrite({ machine, userId, value, ts });
    this.#writes.set(value, write);
    this.#byUser.set(userId, [...this.#byUser.get(userId) ?? [], write]);
    return write;
  }

  accepted(write: ModelWrite, { entry, ack }: WriteResult): void {
    if (entry.userId !== write.userId || entry.value !== write.value || entry.ts !== write.ts) {
      this.world.violated(`the entry of ${nameOf(write)} is not what was written`);
    }
    write.answer = { ack, entry };
    this.#refuseSecondUse(entry);
    if (ack !== "accepted") this.acknowledged++;
    if (ack === "replicated") this.replicated++;
    // Whoever waited for a flush is told after the settlement, of a refused row, too.
    if (ack === "flushed" || write.deadLetters > 0) write.settledMs ??= this.world.nowMs;
    if (ack === "flushed" && write.rows !== 1 && !write.isGone) {
      this.world.violated(`${nameOf(write)} was answered flushed, and is not stored`);
    }
    const isElsewhere = write.isConfirmed || isStored(write) || write.isGone;
    if (ack === "replicated" && !isElsewhere) {
      this.world.violated(`${nameOf(write)} was answered replicated, and is on one disk only`);
    }
  }

  refused(write: ModelWrite, code: string): void {
    write.answer = { refused: code };
  }

  /** The broker has told a living publisher that it has these. */
  confirmed({ entries }: Pick<EntryGroup, "entries">): void {
    for (const { value } of entries) this.#byValue(value).isConfirmed = true;
  }

  /** The same bytes are cut the same way, whoever reads them, and however often. */
  buried(reason: string): void {
    if (!this.diskLied) this.world.violated(`a worker buries a message: ${reason}`);
  }

  /**
   * What a read that begins now must at least return.
   * @param machine the one that is asked: of what others accepted it need not know
   * @param counts only these writes: all that can be asked of a read that does not reach the store
   */
  floor(
    machine: number,
    userId: string,
    counts: (entry: Entry) => boolean = () => true,
  ): Entry | undefined {
    let floor: Entry | undefined;
    for (const write of this.#byUser.get(userId) ?? []) {
      const entry = promisedEntry(write);
      if (
        entry === undefined || write.machine !== machine || write.excused || write.isGone ||
        isRefusedValue(write) || cameAgainUnseen(write) ||
        !counts(entry)
      ) continue;
      if (floor === undefined || compareVersions(entry, floor) > 0) floor = entry;
    }
    return floor;
  }

  /**
   * The newest that the journal has let go of, as the store has it; without what only a damaged
   * journal could have told the cache of.
   */
  settledEntry(userId: string): Entry | undefined {
    let newestSettled: Entry | undefined;
    for (const write of this.#byUser.get(userId) ?? []) {
      const entry = promisedEntry(write);
      if (entry === undefined || write.excused || write.rows === 0) continue;
      if (write.settledMs === undefined || cameAgainUnseen(write)) continue;
      newestSettled = newest(newestSettled, entry);
    }
    return newestSettled;
  }

  /** @param askedMs when the read began, which `floor` was found for */
  wasRead(
    userId: string,
    floor: Entry | undefined,
    found: Entry | undefined,
    askedMs: number,
  ): void {
    this.reads++;
    const promised = floor && this.#byValue(floor.value);
    // What went away meanwhile nobody can ask for, nor within a second what came again unnoticed:
    // for so long an instance knows what it has looked up between the two.
    const isHeld = promised !== undefined && !promised.excused && promised.goneMs < askedMs &&
      promised.backMs + LOOKED_UP_MS < askedMs;
    if (found === undefined) {
      if (isHeld) {
        this.world.violated(
          `a read of ${userId} found nothing after ${nameOf(promised)} was acknowledged`,
        );
      }
      return;
    }
    const write = this.#writes.get(found.value);
    if (write?.userId !== userId || write.ts !== found.ts) {
      this.world.violated(`a read of ${userId} returned ${nameOf(found)}, which nobody wrote so`);
    }
    if (!isHeld || compareVersions(found, floor!) >= 0) return;
    this.world.violated(
      `a read of ${userId} returned ${nameOf(found)} after the newer ${
        nameOf(promised)
      } was acknowledged`,
    );
  }

  /** A transaction of the store committed this. */
  stored({ entry, table }: StoredRow): void {
    const write = this.#byValue(entry.value);
    this.world.trace(`${nameOf(entry)} of ${entry.userId} is in ${table}`);
    if (write.isGone) write.backMs = this.world.nowMs;
    write.isGone = false;
    if (table === "user_data") write.rows++;
    else write.deadLetters++;
    if (write.rows + write.deadLetters > 1) {
      this.world.violated(`${nameOf(write)} was stored twice`);
    }
    if (isRefusedValue(write) !== (table === "dead_letters")) {
      this.world.violated(`${nameOf(write)} went to ${table}`);
    }
    if (
      write.answer !== undefined && "refused" in write.answer &&
      write.answer.refused !== "journal-failed"
    ) {
      this.world.violated(`${nameOf(write)} was answered ${write.answer.refused}, and is stored`);
    }
    this.#refuseSecondUse(entry);
  }

  /** The store went back: it had committed this, and has it no longer. */
  vanished({ entry, table }: StoredRow): void {
    const write = this.#byValue(entry.value);
    this.world.trace(`${nameOf(entry)} of ${entry.userId} is no longer in ${table}`);
    if (table === "user_data") write.rows--;
    else write.deadLetters--;
    write.isGone = true;
    write.goneMs = this.world.nowMs;
  }

  /** The journal has it, and it is to be sent, for the first time or again. */
  unsettled({ value }: Entry): void {
    const write = this.#byValue(value);
    write.isGone = false;
    write.settledMs = undefined;
  }

  /** Writes of this run cannot be sent again that are above `seq`, through this number. */
  notKept(source: string, seq: number, missingThrough: number): void {
    for (const write of this.#writes.values()) {
      const entry = promisedEntry(write);
      if (entry?.run !== source || entry.seq <= seq || entry.seq > missingThrough) continue;
      if (isStored(write) || !write.isGone) continue;
      const sinceMs = this.world.nowMs - (write.settledMs ?? this.world.nowMs);
      if (sinceMs < this.keepsMs && !write.excused) {
        this.world.violated(`${nameOf(write)} was settled ${sinceMs} ms ago, and is not kept`);
      }
      write.excused = true;
    }
  }

  /** The journal is told that the store has all of a source through the last of these. */
  settled({ entries, lastSeq }: Batch): void {
    const { run } = entries[0]!;
    // Whoever waited for the flush is answered only now: what the store refused, as durable.
    const unanswered = new Map(entries.map((entry) => [entry.value, entry]));
    for (const write of this.#writes.values()) {
      const entry = promisedEntry(write) ?? unanswered.get(write.value);
      if (entry?.run !== run || entry.seq > lastSeq || write.settledMs !== undefined) continue;
      write.settledMs = this.world.nowMs;
      if (isStored(write) || write.isGone || write.excused) continue;
      this.world.violated(
        `the journal lets go of ${nameOf(write)} (${writeId(entry)}), which is not stored`,
      );
    }
  }

  /** A start found these in the journal of its machine. */
  recovered(machine: number, entries: readonly Entry[]): void {
    const found = new Set(entries.map(({ value }) => value));
    for (const write of this.#writes.values()) {
      if (
        write.machine !== machine || promisedEntry(write) === undefined ||
        found.has(write.value) || isStored(write) || write.isGone || write.excused
      ) continue;
      this.world.violated(
        `${nameOf(write)} was acknowledged, and is neither in the journal nor stored`,
      );
    }
  }

  damageReported(what: string): void {
    if (!this.diskLied) this.world.violated(`damage is reported that nobody did: ${what}`);
  }

  excuse(value: string): void {
    const write = this.#writes.get(value);
    if (write !== undefined) write.excused = true;
  }

  /** All faults are over, and the queue is empty. */
  finished(): void {
    for (const write of this.#writes.values()) {
      if (promisedEntry(write) === undefined || isStored(write) || write.excused) continue;
      // What is kept for a short time only may be out of reach when it is noticed.
      if (write.isGone && this.keepsMs < KEPT_FOR_SURE_MS) continue;
      this.world.violated(`${nameOf(write)} was acknowledged, and is lost`);
    }
  }

  get users(): Iterable<string> {
    return this.#byUser.keys();
  }

  #byValue(value: string): ModelWrite {
    const write = this.#writes.get(value);
    if (write === undefined) {
      this.world.violated(`nobody wrote ${nameOf({ value })}`);
      throw new Error(`nobody wrote ${nameOf({ value })}`);
    }
    return write;
  }

  /** A write id names one write for ever, whatever became of that one. */
  #refuseSecondUse(entry: Entry): void {
    const id = writeId(entry);
    const first = this.#namedBy.get(id);
    this.#namedBy.set(id, entry.value);
    if (first === undefined || first === entry.value) return;
    this.world.violated(`${nameOf({ value: first })} and ${nameOf(entry)} are both called ${id}`);
  }
}
