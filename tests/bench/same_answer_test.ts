import assert from "node:assert/strict";
import { startFloor } from "../../bench/sides/started.ts";
import { Dsproxy } from "../support/dsproxy.ts";

Deno.test("the floor answers with the service's status, headers and length", async () => {
  const dataDir = await Deno.makeTempDir();
  await using floor = await startFloor();
  await using proxy = await Dsproxy.start({ DATA_DIR: dataDir });
  try {
    const ask = async (url: string) => {
      const body = JSON.stringify({ user_id: "user1", value: "value of user1" });
      const write = await fetch(`${url}/write`, { method: "POST", body });
      const read = await fetch(`${url}/read?user_id=user1`);
      return [await described(write), await described(read)];
    };
    assert.deepEqual(await ask(floor.url), await ask(proxy.url));
  } finally {
    await proxy.stop();
    await Deno.remove(dataDir, { recursive: true });
  }
});

async function described(response: Response) {
  return {
    status: response.status,
    headers: [...response.headers.keys()].sort(),
    contentType: response.headers.get("content-type"),
    body: await response.text(),
  };
}
