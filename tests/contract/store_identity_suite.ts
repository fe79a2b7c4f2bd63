/** What every StoreIdentity keeps to, by the words of src/ports/store_identity.ts. */
import assert from "node:assert/strict";
import type { StoreIdentity } from "../../src/ports/store_identity.ts";
import { assertClosed, SOURCE, type StoreUnderTest } from "./store_under_test.ts";

export function storeIdentityContract(
  name: string,
  makeStore: () => Promise<StoreUnderTest>,
): void {
  const test = (behaviour: string, work: (tested: StoreUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await makeStore();
      await work(tested);
    });

  test("copies are outdated by a new generation, under one identity", async ({ identity }) => {
    const first = await identity.identify();
    assert.match(first.id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(await identity.identify(), first);
    const second = await identity.outdateCopies();
    assert.equal(second.id, first.id);
    assert.notEqual(second.cacheGeneration, first.cacheGeneration);
    assert.deepEqual(await identity.identify(), second);
  });

  test("after the store is closed every call is refused", async ({ store, identity }) => {
    await store.open(SOURCE);
    await store.close();
    await assertClosed<keyof StoreIdentity>({
      identify: () => identity.identify(),
      outdateCopies: () => identity.outdateCopies(),
    });
  });
}
