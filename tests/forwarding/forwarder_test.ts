import assert from "node:assert/strict";
import {
  BrokerRefusesError,
  BrokerUnavailableError,
  StoreUnavailableError,
} from "../../src/errors.ts";
import { Forwarder } from "../../src/forwarding/forwarder.ts";
import { decodeGroup } from "../../src/forwarding/group_message.ts";
import type { EntryGroup } from "../../src/ports/group_store.ts";
import { PauseSwitch } from "../../src/pause_switch.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakePublisher } from "../support/fake_broker.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { idleMetrics } from "../support/fakes.ts";
import { group, SOURCE } from "../support/groups.ts";

const AWAY = new BrokerUnavailableError("away");

class SetUp {
  readonly clock = new FakeClock();
  readonly publisher = new FakePublisher();
  readonly pausing = new PauseSwitch();
  /** What is durable and the store may lack. */
  readonly groups: EntryGroup[] = [];
  marks: () => Promise<ReadonlyMap<string, number>> = () => Promise.resolve(new Map());
  readonly replicated: number[] = [];
  readonly never: number[][] = [];
  holdsBack = true;
  unreadable = false;
  storeIdentity: string | undefined;
  readonly lines: string[] = [];
  readonly forwarder: Forwarder;
  #next = 0;

  constructor() {
    this.forwarder = new Forwarder({
      source: {
        take: () => {
          if (this.unreadable) return Promise.reject(new Error("Input/output error"));
          return Promise.resolve(this.groups[this.#next] && this.groups[this.#next++]);
        },
        restart: (marks) => {
          const mark = marks.get(SOURCE) ?? 0;
          this.#next = this.groups.findIndex(({ last }) => last > mark);
          if (this.#next < 0) this.#next = this.groups.length;
        },
      },
      publisher: this.publisher,
      marks: () => this.marks(),
      storeIdentity: () => this.storeIdentity,
      clock: this.clock,
      random: () => 0.5,
      pausing: this.pausing,
      metrics: idleMetrics(),
      log: new Log("info", "json", (line) => this.lines.push(line)),
      onReplicated: (_, throughSeq) => this.replicated.push(throughSeq),
      onNever: ({ first, last }) => this.never.push([first, last]),
      holdsBack: () => this.holdsBack,
    });
  }

  async durable(...groups: readonly EntryGroup[]): Promise<void> {
    this.groups.push(...groups);
    this.forwarder.notify();
    await settle();
  }

  /** The last numbers of the groups that were published, in order. */
  get published(): number[] {
    return this.publisher.published.map(({ bytes }) => decodeGroup(bytes).last);
  }
}

function eachOf(count: number): EntryGroup[] {
  return Array.from({ length: count }, (_, i) => group(i + 1, i + 1));
}

Deno.test("each durable group is sent once, in order, and said to be replicated when confirmed", async () => {
  const { all, forwarder, publisher } = withParts();
  forwarder.start();
  await all.durable(group(1, 3), group(4, 4));
  await all.durable(group(5, 9));
  assert.deepEqual(all.published, [3, 4, 9]);
  assert.deepEqual(decodeGroup(publisher.published[0]!.bytes), group(1, 3));
  assert.deepEqual(all.replicated, [3, 4, 9]);
  await forwarder.stop();
});

Deno.test("a doubtful group is sent only when it is not held back any more", async () => {
  const { all, forwarder } = withParts();
  const doubt = { isDoubtful: true } as const;
  forwarder.start();
  await all.durable(group(1, 3), { ...group(4, 4), ...doubt }, {
    ...{ ...group(5, 5), ...doubt },
    entries: [],
  }, group(6, 6));
  assert.deepEqual([all.published, all.never], [[3, 6], []]);
  assert.deepEqual(all.replicated, [3], "what is behind it says nothing of it");
  all.holdsBack = false;
  forwarder.restart();
  await settle();
  assert.deepEqual([all.published, all.never], [[3, 6, 3, 4, 6], [[5, 5]]]);
  await forwarder.stop();
});

Deno.test("numbers that never come are told, and not sent", async () => {
  const { all, forwarder } = withParts();
  forwarder.start();
  await all.durable({ ...group(1, 4), entries: [] }, group(5, 6));
  assert.deepEqual([all.never, all.published, all.replicated], [[[1, 4]], [6], [6]]);
  await forwarder.stop();
});

Deno.test("what is confirmed out of order is replicated as far as there is no gap", async () => {
  const { all, forwarder, publisher } = withParts();
  publisher.confirmsAtOnce = false;
  forwarder.start();
  await all.durable(...eachOf(3));
  publisher.published[2]!.confirm();
  publisher.published[1]!.confirm();
  await settle();
  assert.deepEqual(all.replicated, []);
  publisher.published[0]!.confirm();
  await settle();
  assert.deepEqual(all.replicated, [1, 2, 3]);
  await forwarder.stop();
});

Deno.test("a broker that is away is tried again, and nothing is left out", async () => {
  const { all, forwarder, publisher, clock } = withParts();
  publisher.confirmsAtOnce = false;
  forwarder.start();
  await all.durable(...eachOf(3));
  publisher.published[1]!.confirm();
  publisher.published[0]!.fail();
  publisher.published[2]!.fail();
  await settle();
  assert.match(forwarder.failure!, /away/);
  assert.deepEqual(all.replicated, []);
  publisher.confirmsAtOnce = true;
  await all.durable(group(4, 4));
  assert.deepEqual(all.published, [1, 2, 3], "nothing is sent before the wait is over");
  await clock.advance(5_000);
  assert.deepEqual(all.published.slice(3), [1, 3, 4]);
  assert.deepEqual(all.replicated, [1, 2, 3, 4]);
  assert.equal(forwarder.failure, undefined);
  await forwarder.stop();
});

Deno.test("a long outage is told once, and waits grow to five seconds", async () => {
  const { all, forwarder, publisher, clock } = withParts();
  publisher.failWith = new BrokerRefusesError("The broker refuses the user app.");
  forwarder.start();
  await all.durable(group(1, 1));
  await clock.advance(600_000);
  const tries = publisher.published.length;
  assert.ok(tries > 100 && tries < 300, `${tries} tries in ten minutes`);
  assert.equal(all.lines.filter((line) => /does not take messages/.test(line)).length, 1);
  publisher.failWith = undefined;
  await clock.advance(5_000);
  assert.deepEqual(all.replicated, [1]);
  assert.match(all.lines.at(-1)!, /takes messages again/);
  await forwarder.stop();
});

Deno.test("so many are under way at most, and the rest follows as they are confirmed", async () => {
  const { all, forwarder, publisher } = withParts();
  publisher.confirmsAtOnce = false;
  forwarder.start();
  await all.durable(...eachOf(100));
  const bound = publisher.published.length;
  assert.ok(bound > 1 && bound < 100, `${bound} are under way`);
  publisher.published[0]!.confirm();
  await settle();
  assert.equal(publisher.published.length, bound + 1);
  publisher.confirmsAtOnce = true;
  for (const { confirm } of publisher.published) confirm();
  for (let i = 0; i < 20; i++) await settle();
  assert.equal(all.replicated.at(-1), 100);
  await forwarder.stop();
});

Deno.test("a restart sends again what the store lacks, also while the store cannot be asked", async () => {
  const { all, forwarder } = withParts();
  forwarder.start();
  await all.durable(...eachOf(4));
  all.marks = () => Promise.resolve(new Map([[SOURCE, 2]]));
  forwarder.restart();
  await settle();
  assert.deepEqual(all.published, [1, 2, 3, 4, 3, 4]);
  all.marks = () => Promise.reject(new StoreUnavailableError("The store is away."));
  forwarder.restart();
  await settle();
  assert.deepEqual(all.published.slice(6), [1, 2, 3, 4]);
  await forwarder.stop();
});

Deno.test("a drain ends when the broker has confirmed all, or with its signal", async () => {
  const { all, forwarder, publisher } = withParts();
  publisher.confirmsAtOnce = false;
  forwarder.start();
  await all.durable(group(1, 1));
  const ended: string[] = [];
  const first = forwarder.drain(new AbortController().signal).then(() => ended.push("confirmed"));
  await settle();
  assert.equal(ended.length, 0);
  publisher.published[0]!.confirm();
  await first;
  await all.durable(group(2, 2));
  const grace = new AbortController();
  const second = forwarder.drain(grace.signal).then(() => ended.push("time is up"));
  grace.abort();
  await second;
  assert.deepEqual(ended, ["confirmed", "time is up"]);
  await forwarder.stop();
});

Deno.test("after a stop nothing is sent, and no timer is left", async () => {
  const { all, forwarder, publisher, clock } = withParts();
  publisher.failWith = new BrokerRefusesError("no");
  forwarder.start();
  await all.durable(group(1, 1));
  await forwarder.stop();
  publisher.failWith = undefined;
  await all.durable(group(2, 2));
  await clock.advance(60_000);
  assert.deepEqual(all.published, [1]);
  assert.equal(clock.timers, 0);
});

function withParts() {
  const all = new SetUp();
  return { all, forwarder: all.forwarder, publisher: all.publisher, clock: all.clock };
}

Deno.test("a message says which store it is for, once that is known, and each attempt has a key", async () => {
  const { all, forwarder, publisher } = withParts();
  forwarder.start();
  publisher.failWith = AWAY;
  await all.durable(group(1, 3));
  publisher.failWith = undefined;
  all.storeIdentity = "the store";
  await all.clock.advance(60_000);
  const stores = publisher.published.map(({ bytes }) => decodeGroup(bytes).store);
  assert.deepEqual(stores, [undefined, "the store"]);
  assert.equal(new Set(publisher.published.map(({ key }) => key)).size, publisher.published.length);
  await forwarder.stop();
});

Deno.test("a broker that takes one message and not the next is told of once a minute", async () => {
  const { all, forwarder, publisher } = withParts();
  forwarder.start();
  for (let i = 1; i <= 50; i++) {
    publisher.failWith = AWAY;
    await all.durable(group(i, i));
    publisher.failWith = undefined;
    await all.clock.advance(1_000);
  }
  assert.equal(all.replicated.at(-1), 50);
  assert.ok(all.lines.length <= 4, all.lines.join("\n"));
  await forwarder.stop();
});

Deno.test("a journal that cannot be read is not told as a broker that is away", async () => {
  const { all, forwarder } = withParts();
  forwarder.start();
  all.unreadable = true;
  await all.durable(group(1, 1));
  assert.match(all.lines.join("\n"), /cannot be read to be sent to the broker.*Input.output error/);
  all.unreadable = false;
  await all.clock.advance(10_000);
  assert.deepEqual(all.published, [1]);
  await forwarder.stop();
});

Deno.test("paused, it sends nothing, at a drain neither, and goes on when it is resumed", async () => {
  const up = new SetUp();
  up.pausing.turn(true);
  up.forwarder.start();
  await up.durable(group(1, 2), group(3, 4));
  assert.equal(up.published.length, 0);
  await up.forwarder.drain(new AbortController().signal);
  assert.deepEqual([up.published.length, up.forwarder.isSending], [0, false]);
  up.pausing.turn(false);
  await settle();
  assert.equal(up.published.length, 2);
  await up.forwarder.stop();
});
