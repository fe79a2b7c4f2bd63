import assert from "node:assert/strict";
import { join } from "node:path";
import { checksum, decodeHeader, encodeHeader, HEADER_BYTES } from "../../src/journal/codec.ts";
import { TERM_OVER_CODE } from "../support/adopter.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import {
  contentOf,
  startAdopter,
  startOwner,
  storedValues,
  valuesFrom,
  type Volume,
  withVolume,
  withVolumeFor,
  writeAll,
} from "../support/left_behind.ts";
import { once, startPostgres } from "../support/postgres.ts";
import { Random } from "../support/random.ts";
import { redisCommand, startRedis } from "../support/redis.ts";
import { delay } from "../support/services.ts";

/** Leaves a directory with these writes behind. */
async function leave({ settings }: Volume, name: string, values: readonly string[]): Promise<void> {
  await using owner = await startOwner(settings(name));
  await writeAll(owner, values);
  await owner.kill();
}

async function assertOnce(volume: Volume, values: readonly string[]): Promise<void> {
  const stored = await storedValues(volume.databaseUrl);
  for (const value of values) assert.equal(stored.get(value) ?? 0, 1, value);
  assert.equal(stored.size, values.length + 1, "and the first write");
}

function adopted(adopter: Dsproxy, times = 1): Promise<void> {
  return eventually(
    `${times} journals adopted:\n${adopter.log}`,
    () => Promise.resolve(adopter.log.split("The journal is adopted").length > times),
  );
}

Deno.test("20,000 writes of a killed instance, accepted while PostgreSQL was away, are stored once by another one", async () => {
  await using server = await startPostgres();
  await withVolumeFor(server.url, async (volume) => {
    const values = valuesFrom("w", 20_000);
    await using owner = await startOwner({ ...volume.settings("a"), BATCH_INTERVAL: "100ms" });
    await server.stop();
    await writeAll(owner, values);
    await owner.kill();
    await server.start();
    const before = await contentOf(volume.path);
    await using adopter = await startAdopter(volume, { maxRows: 5_000 });
    await adopted(adopter);
    await assertOnce(volume, values);
    assert.deepEqual(await contentOf(volume.path), before, "not a byte of the directory changed");
    assert.match(adopter.log, /"message":"An instance is gone: its journal is adopted".*20000/);
    assert.match(adopter.log, /"message":"The journal is adopted.*"writes":20000/);
  });
});

Deno.test("rights to read the directory are enough to adopt it", () =>
  withVolume(async (volume) => {
    const values = valuesFrom("w", 500);
    await leave(volume, "a", values);
    const before = await contentOf(volume.path);
    const modes: [string, number][] = [[volume.path, 0o555], [join(volume.path, "a"), 0o555]];
    modes.push([join(volume.path, "a", "journal"), 0o555]);
    for (const path of before.keys()) modes.push([path, 0o444]);
    for (const [path, mode] of modes) await Deno.chmod(path, mode);
    try {
      await using adopter = await startAdopter(volume, {}, { unprivileged: true });
      await adopted(adopter);
      await assertOnce(volume, values);
    } finally {
      for (const [path] of modes) await Deno.chmod(path, 0o755);
    }
    assert.deepEqual(await contentOf(volume.path), before);
  }));

for (const seed of [1, 2]) {
  Deno.test(`an owner that comes back in the middle, with new writes, changes nothing about it: seed ${seed}`, () =>
    withVolume(async (volume) => {
      const random = new Random(seed);
      const values = valuesFrom("w", 3_000);
      await leave(volume, "a", values);
      await using adopter = await startAdopter(volume, { maxRows: 3 });
      await eventually(
        "begun",
        () => Promise.resolve(adopter.log.includes("its journal is adopted")),
      );
      await delay(random.between(0, 1_000));
      await using owner = await Dsproxy.start({
        ...volume.settings("a"),
        BATCH_INTERVAL: "20ms",
        JOURNAL_RETAIN: "0",
      });
      const more = valuesFrom("more", 300);
      await writeAll(owner, more);
      await eventually(
        "its journal drains",
        async () => await owner.metric("dsproxy_queue_depth") === 0,
      );
      await assertOnce(volume, [...values, ...more]);
      assert.match(adopter.log, /"The instance is back, and goes on with its journal itself"/);
      await owner.stop();
      const left = [...(await contentOf(join(volume.path, "a", "journal"))).keys()];
      assert.deepEqual(left.filter((path) => path.endsWith(".seg")).length <= 1, true, `${left}`);
    }));
}

Deno.test("where an adopter is killed in the middle, the next one goes on, and a former one cannot", () =>
  withVolume(async (volume) => {
    const values = valuesFrom("w", 3_000);
    await leave(volume, "a", values);
    const storedRows = async () => (await storedValues(volume.databaseUrl)).size;
    await using first = await startAdopter(volume, { maxRows: 10 });
    await eventually("some of it is there", async () => await storedRows() > 100);
    await first.kill();
    assert.ok(await storedRows() < values.length, "and not all");
    await using second = await startAdopter(volume, { maxRows: 10, leader: "adopter00002" });
    await eventually("more of it is there", async () => await storedRows() > 500);
    await using third = await startAdopter(volume, { maxRows: 500, leader: "adopter00003" });
    await adopted(third);
    assert.equal((await second.ended()).code, TERM_OVER_CODE, "its term was over");
    await assertOnce(volume, values);
  }));

Deno.test("a live instance, another store's, one of a later version and one damaged throughout are left alone, and the rest is adopted", () =>
  withVolume((volume) =>
    withVolume(async (elsewhere) => {
      const values = valuesFrom("w", 50);
      await using live = await startOwner(volume.settings("live"));
      await writeAll(live, valuesFrom("live", 10));
      await leave(
        {
          ...volume,
          settings: (name) => ({ ...volume.settings(name), DATABASE_URL: elsewhere.databaseUrl }),
        },
        "other-store",
        valuesFrom("other", 10),
      );
      await leave(volume, "later", valuesFrom("later", 10));
      await makeLater(join(volume.path, "later", "journal"));
      await leave(volume, "without-checkpoint", valuesFrom("lost", 10));
      await Deno.writeTextFile(
        join(volume.path, "without-checkpoint", "journal", "checkpoint"),
        "{}",
      );
      await leave(volume, "z-left", values);
      const before = await contentOf(volume.path);
      await using adopter = await startAdopter(volume);
      await adopted(adopter);
      await eventually("all are told", () =>
        Promise.resolve(adopter.log.split("is left alone").length === 4));
      assert.match(adopter.log, /other-store","reason":"It belongs to another store/);
      assert.match(adopter.log, /later","reason":"[^"]*format version 99/);
      assert.match(
        adopter.log,
        /without-checkpoint","reason":"In its journal checkpoint is damaged/,
      );
      const stored = await storedValues(volume.databaseUrl);
      for (const value of values) {
        assert.equal(stored.get(value), 1, value);
      }
      assert.equal(
        [...stored.keys()].filter((value) =>
          !/^w|^first/.test(value)
        ).length,
        0,
      );
      const after = await contentOf(volume.path);
      assert.deepEqual([...after].filter(([path]) => !path.includes("/live/")), [
        ...[...before].filter(([path]) => !path.includes("/live/")),
      ]);
      await live.kill();
    })
  ));

/** Makes the last segment one of a format that a later version writes. */
async function makeLater(journal: string): Promise<void> {
  for (const path of (await contentOf(journal)).keys()) {
    if (!path.endsWith(".seg")) continue;
    const bytes = await Deno.readFile(path);
    const header = decodeHeader(bytes.subarray(0, HEADER_BYTES))!;
    const later = encodeHeader(header);
    new DataView(later.buffer).setUint16(8, 99);
    new DataView(later.buffer).setUint32(64, checksum(later.subarray(0, 64)));
    bytes.set(later.subarray(0, 68));
    await Deno.writeFile(path, bytes);
  }
}

Deno.test("damage at the end is left to the owner, and what is before it is adopted", () =>
  withVolume(async (volume) => {
    const journal = join(volume.path, "a", "journal");
    await leave(volume, "a", valuesFrom("w", 200));
    // A bit within a record that was acknowledged, and has others behind it.
    await flipBit(journal, "user w150");
    await using adopter = await startAdopter(volume);
    await adopted(adopter);
    assert.match(adopter.log, /adopted in part: the rest is left to its instance.*is damaged at/);
    const some = await storedValues(volume.databaseUrl);
    assert.ok(some.size > 1 && some.size < 201, `${some.size}`);
    assert.ok([...some.values()].every((count) => count === 1));
    await adopter.kill();
    await using owner = await Dsproxy.start({ ...volume.settings("a"), BATCH_INTERVAL: "20ms" });
    await eventually(
      "it drains",
      async () => await owner.metric("dsproxy_queue_depth") === 0,
    );
    const stored = await storedValues(volume.databaseUrl);
    for (const value of valuesFrom("w", 200)) {
      assert.equal(stored.get(value) ?? 0, value === "w150" ? 0 : 1, value);
    }
    await owner.kill();
  }));

Deno.test("a store that went back is told of, and nothing is put behind the gap", () =>
  withVolume(async (volume) => {
    await leave(volume, "a", valuesFrom("w", 20));
    await once(volume.databaseUrl, (sql) => sql`update dsproxy_marks set seq = 0`);
    await once(volume.databaseUrl, (sql) => sql`delete from user_data`);
    await using adopter = await startAdopter(volume);
    await eventually("told", () => Promise.resolve(adopter.log.includes("The database went back")));
    assert.equal((await storedValues(volume.databaseUrl)).size, 0);
    await adopter.kill();
    await using owner = await Dsproxy.start({ ...volume.settings("a"), BATCH_INTERVAL: "20ms" });
    await eventually(
      "its owner sends all of it",
      async () => (await storedValues(volume.databaseUrl)).size === 21,
    );
    await owner.kill();
  }));

Deno.test("what goes by groups goes by them, also where its broker is gone for good", () =>
  withVolume(async (volume) => {
    const values = valuesFrom("w", 2_000);
    const settings = {
      ...volume.settings("a"),
      ROLE: "api",
      // Nobody listens there.
      RABBITMQ_URL: "amqp://127.0.0.1:1/",
      BATCH_MAX: "5000",
    };
    await (await startOwner(volume.settings("a"))).stop();
    await using owner = await Dsproxy.start(settings);
    await writeAll(owner, values);
    await owner.kill();
    assert.match(await Deno.readTextFile(join(volume.path, "a", "forwarded")), /runs/);
    const before = await contentOf(volume.path);
    await using adopter = await startAdopter(volume, { maxRows: 50 });
    await eventually(
      "some of it is there",
      async () => (await storedValues(volume.databaseUrl)).size > 200,
    );
    assert.deepEqual(await contentOf(volume.path), before);
    // Its owner comes back, without a broker, and sends the same groups.
    await using back = await Dsproxy.start({ ...volume.settings("a"), BATCH_INTERVAL: "20ms" });
    const more = valuesFrom("more", 100);
    await writeAll(back, more);
    await eventually(
      "its journal drains",
      async () => await back.metric("dsproxy_queue_depth") === 0,
    );
    await assertOnce(volume, [...values, ...more]);
    const [left] = await once(
      volume.databaseUrl,
      (sql) => sql`select count(*) as n from dsproxy_applied`,
    );
    assert.equal(Number(left!.n), 0, "the mark is behind all groups");
    await adopter.kill();
    await back.kill();
  }));

Deno.test("nobody reads an older copy out of Redis once a write was adopted", () =>
  withVolume(async (volume) => {
    await using redis = await startRedis();
    const shared = { REDIS_URL: redis.url };
    const [a, b] = [volume.settings("a"), { ...volume.settings("b"), BATCH_INTERVAL: "20ms" }];
    await (await startOwner({ ...a, ...shared })).stop();
    await using reader = await Dsproxy.start({ ...b, ...shared });
    await reader.accept({ user_id: "u", value: "older", ts: 1_000 }, "?ack=flushed");
    await using owner = await Dsproxy.start({ ...a, ...shared });
    await owner.accept({ user_id: "u", value: "newer", ts: 2_000 });
    await owner.kill();
    await redisCommand(redis.port, "FLUSHALL");
    await eventually("a copy of what the database has is kept", async () => {
      const { value, source } = await reader.read("u");
      return value === "older" && (source === "local" || source === "redis");
    });
    await using adopter = await startAdopter(volume, { others: shared });
    await adopted(adopter);
    await eventually("it is read", async () => (await reader.read("u")).value === "newer", 2_000);
    await adopter.kill();
    await reader.kill();
  }));

async function flipBit(journal: string, text: string): Promise<void> {
  for (const path of (await contentOf(journal)).keys()) {
    const bytes = await Deno.readFile(path);
    const at = new TextDecoder("latin1").decode(bytes).indexOf(text);
    if (at < 0) continue;
    bytes[at]! ^= 1;
    return await Deno.writeFile(path, bytes);
  }
  throw new Error(`${text} is in no file of ${journal}`);
}
