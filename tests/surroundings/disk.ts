/** A data directory that goes away. */
import { Load } from "../fault/load.ts";
import { Dsproxy } from "../support/dsproxy.ts";
import { withDatabase } from "../support/postgres.ts";
import type { Random } from "../support/random.ts";
import { delay } from "../support/services.ts";
import {
  type Counts,
  type Surrounding,
  untilCommitted,
  untilEmpty,
  untilNotReady,
} from "./surrounding.ts";

/** Within this time after the directory is gone nothing more is acknowledged. */
const NOTICE_MS = 1_000;

const dataDirRemoved: Surrounding["run"] = (rounds, random) =>
  withDatabase(async (databaseUrl) => {
    const load = new Load({ readers: 8 });
    const folder = await Deno.makeTempDir({ prefix: "dsproxy-around-" });
    // Nothing is flushed before its directory is gone: only the journal has it.
    const settings = {
      DATABASE_URL: databaseUrl,
      BATCH_INTERVAL: "1h",
      BATCH_SIZE: "100000",
      BATCH_MAX: "100000",
    };
    let late = 0;
    try {
      for (let round = 0; round < rounds; round++) {
        const dataDir = `${folder}/${round}`;
        await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, ...settings });
        late += await removeUnder(proxy, dataDir, load, random);
        await proxy.kill();
        load.takeBack();
      }
      await using proxy = await Dsproxy.start({
        DATA_DIR: `${folder}/last`,
        ...settings,
        BATCH_INTERVAL: "50ms",
      });
      load.use(proxy);
      await untilCommitted(proxy, 10_000);
      await load.stop();
      await untilEmpty(proxy);
      await proxy.stop();
      const account = await load.account(databaseUrl);
      const lost = Array.from({ length: late }, () =>
        "acknowledged over 1 s after the directory was gone");
      return {
        ...account,
        lost: [...account.lost, ...lost],
        stale: [],
        dead: 0,
        note: "",
      } satisfies Counts;
    } finally {
      await load.stop();
      await Deno.remove(folder, { recursive: true });
    }
  });

/** How many writes were acknowledged although they could have been refused, and are gone. */
async function removeUnder(
  proxy: Dsproxy,
  dataDir: string,
  load: Load,
  random: Random,
): Promise<number> {
  load.use(proxy);
  await delay(random.between(300, 1_000));
  await Deno.remove(dataDir, { recursive: true });
  await delay(NOTICE_MS);
  const noticed = load.acknowledged;
  await untilNotReady(proxy, /journal/);
  await delay(500);
  await load.pause();
  return load.acknowledged - noticed;
}

export const DISK: readonly Surrounding[] = [
  {
    name: "the data directory is removed",
    how: "`rm -rf DATA_DIR` under a running instance, then `kill -9`; lost is what was " +
      "acknowledged over 1 s after it was gone",
    rounds: { few: 1, many: 5 },
    mayRefuse: "all writes, as nothing can be kept any more",
    run: dataDirRemoved,
  },
];
