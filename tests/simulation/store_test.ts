import assert from "node:assert/strict";
import { StoreWentBackError } from "../../src/errors.ts";
import { entry } from "../support/fakes.ts";
import { REFUSED, SimulatedStore, type StoredRow } from "./store.ts";
import { World } from "./world.ts";

const SOURCE = "instance0001";

Deno.test("a simulated store that goes back tells what vanished", async () => {
  const world = new World(1);
  const server = new SimulatedStore(world, () => {});
  const { store, deadLetters } = server.client({ alive: true });
  const step = async <T>(call: Promise<T>): Promise<T> => {
    let settled = false;
    call.then(() => settled = true, () => settled = true);
    while (!settled) await world.step();
    return await call;
  };
  await step(store.open(SOURCE));
  await step(store.put(SOURCE, [entry(1, { userId: "u" })], 0));
  const snapshot = server.snapshot();
  const later = [entry(2, { userId: "u" }), entry(3, { value: `${REFUSED}3` }), entry(4)];
  await step(store.put(SOURCE, later, 1));
  await step(store.open("another"));

  const vanished: StoredRow[] = [];
  server.restore(snapshot, (row) => vanished.push(row));
  assert.deepEqual(vanished.map(({ entry: { seq }, table }) => [seq, table]), [
    [2, "user_data"],
    [4, "user_data"],
    [3, "dead_letters"],
  ]);
  assert.equal(world.faults.get("store went back"), 1);
  assert.deepEqual(await step(store.marks([SOURCE, "another"])), new Map([[SOURCE, 1]]));
  assert.equal((await step(store.latest("u")))?.seq, 1);
  assert.equal(await step(deadLetters.count()), 0);
  await assert.rejects(step(store.put(SOURCE, [entry(5)], 4)), StoreWentBackError);

  // What was taken before is not changed by what is put since: it can be restored again.
  assert.equal((await step(store.put(SOURCE, later, 1))).rows, 2);
  server.restore(snapshot, () => {});
  assert.deepEqual(server.tables.rows.map(({ seq }) => seq), [1]);
});
