/** Versions of the program that differ in what they write to a broker, around one of each kind. */
import { assertNothingBroken, Load } from "../fault/load.ts";
import { setUp, valuesIn } from "./layout.ts";
import { OtherVersion } from "./other_version.ts";
import assert from "node:assert/strict";
import { eventually } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";

const MESSAGE = "src/forwarding/group_message.ts";

/** It writes eight more bytes behind each record, and as many behind the last one. */
const WRITES_MORE = [
  {
    file: MESSAGE,
    from: "const RECORD_HEAD_BYTES = 4 + 8 * 3 + 1 + 2 + 4;",
    to: "const RECORD_HEAD_BYTES = 4 + 8 * 3 + 1 + 2 + 4 + 8;",
  },
  {
    file: MESSAGE,
    from: "    this.u32(value.length);\n    this.bytesOf(value);\n",
    to: "    this.u32(value.length);\n    this.bytesOf(value);\n    this.f64(4711);\n",
  },
  {
    file: MESSAGE,
    from: "1 + names[1].length + 8 * 2 + 4;",
    to: "1 + names[1].length + 8 * 3 + 4;",
  },
];

/** It writes a format that this version does not know, and reads both. */
const WRITES_ANOTHER_FORMAT = [
  { file: MESSAGE, from: "writer.u8(VERSION);", to: "writer.u8(VERSION + 1);" },
  {
    file: MESSAGE,
    from: "if (version !== VERSION) {",
    to: "if (version !== VERSION && version !== VERSION + 1) {",
  },
];

Deno.test("a version that writes more rolls over one broker, and back", async () => {
  await using next = await OtherVersion.make(WRITES_MORE);
  await using set = await setUp("rabbitmq", 2, 2);
  const { servers, workers, places } = set.layout;
  // Another server answers while one is exchanged, which need not have the write yet.
  const load = new Load({ writers: 6, readsBack: false });
  load.use(...servers);
  const [a, b] = servers;
  const [x, y] = workers;
  for (const main of [next.main, undefined]) {
    // The order in which they are rolled is whatever it may be.
    for (const place of [x!, a!, b!, y!]) {
      load.use(...servers.filter((server) => server !== place));
      await (place === a || place === x ? place.kill() : place.stop());
      await place.start({}, main === undefined ? {} : { main });
      load.use(...servers);
      await delay(700);
    }
  }
  await load.stop();
  await set.layout.untilStored();
  assertNothingBroken(await load.account(set.database.url), "versions were rolled");
  for (const place of places) await place.stop();
});

Deno.test("what a worker cannot read yet is put aside, and comes again once there is one that can", async () => {
  await using next = await OtherVersion.make(WRITES_ANOTHER_FORMAT);
  await using set = await setUp("rabbitmq", 1, 1);
  const [server] = set.layout.servers;
  const [worker] = set.layout.workers;
  await server!.stop();
  await server!.start({}, { main: next.main });
  await server!.process.accept({ user_id: "ada", value: "of the next version" });
  await eventually(
    "it is put aside",
    async () =>
      await worker!.process.metric('dsproxy_broker_received_total{outcome="undecodable"}') === 1,
  );
  assert.deepEqual(await valuesIn(set.database.url), []);
  assert.equal((await server!.process.read("ada")).value, "of the next version");
  await worker!.stop();
  await worker!.start({}, { main: next.main });
  await server!.process.accept({ user_id: "bob", value: "later" });
  await set.layout.untilStored();
  assert.deepEqual(await valuesIn(set.database.url), ["later", "of the next version"]);
  for (const place of set.layout.places) await place.stop();
});
