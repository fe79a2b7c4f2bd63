/** A volume with data directories of instances, one of which is gone, and those who look at it. */
import { join } from "node:path";
import { Dsproxy, type Environment, type HowToRun } from "./dsproxy.ts";
import { once, withDatabase } from "./postgres.ts";

export interface Volume {
  readonly path: string;
  readonly databaseUrl: string;
  /** What an instance needs to keep all that it accepts in its journal. */
  settings(name: string): Environment;
}

export async function withVolume(work: (volume: Volume) => Promise<void>): Promise<void> {
  await withDatabase((databaseUrl) => withVolumeFor(databaseUrl, work));
}

export async function withVolumeFor(
  databaseUrl: string,
  work: (volume: Volume) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "dsproxy-volume-" });
  const settings = (name: string) => ({
    DATA_DIR: join(path, name),
    DATABASE_URL: databaseUrl,
    BATCH_INTERVAL: "1h",
    BATCH_SIZE: "5000",
  });
  try {
    await work({ path, databaseUrl, settings });
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** Starts an instance that has reached its store, so that its directory knows which one that is. */
export async function startOwner(settings: Environment): Promise<Dsproxy> {
  await using first = await Dsproxy.start({ ...settings, BATCH_INTERVAL: "20ms" });
  await first.accept({ user_id: "first", value: `first of ${settings.DATA_DIR}` }, "?ack=flushed");
  await first.stop();
  return await Dsproxy.start(settings);
}

/** Writes these values, many at a time; each is acknowledged when this resolves. */
export async function writeAll(proxy: Dsproxy, values: readonly string[]): Promise<void> {
  let next = 0;
  const write = async () => {
    while (next < values.length) {
      const value = values[next++]!;
      await proxy.accept({ user_id: `user ${value}`, value });
    }
  };
  await Promise.all(Array.from({ length: 64 }, write));
}

export function valuesFrom(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`);
}

interface AdopterSettings {
  readonly leader?: string;
  readonly maxRows?: number;
  readonly others?: Environment;
}

/** Starts what adopts the journals of the volume, after a second, and does nothing else. */
export function startAdopter(
  { databaseUrl, path }: Volume,
  { leader = "adopter00001", maxRows = 500, others = {} }: AdopterSettings = {},
  how: HowToRun = {},
): Promise<Dsproxy> {
  const settings = {
    DATABASE_URL: databaseUrl,
    ADOPT_FROM: path,
    ADOPT_AFTER: "1s",
    BATCH_SIZE: "1",
    BATCH_MAX: `${maxRows}`,
    ...others,
  };
  return Dsproxy.start(settings, { ...how, main: "tests/support/adopter.ts", args: [leader] });
}

/** How often each value is in the database. */
export async function storedValues(databaseUrl: string): Promise<ReadonlyMap<string, number>> {
  const rows = await once(databaseUrl, (sql) =>
    sql<{ value: string; n: string }[]>`
      select value, count(*) as n from user_data group by value`);
  return new Map(rows.map(({ value, n }) => [value, Number(n)]));
}

/** The name, size and SHA-256 of each file, by its path. */
export async function contentOf(dir: string): Promise<ReadonlyMap<string, string>> {
  const content = new Map<string, string>();
  for await (const { name, isDirectory, isFile } of Deno.readDir(dir)) {
    const path = join(dir, name);
    if (isDirectory) {
      for (const [inner, hash] of await contentOf(path)) content.set(inner, hash);
    }
    if (!isFile) continue;
    const bytes = await Deno.readFile(path);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    content.set(path, `${bytes.length} ${hash}`);
  }
  return content;
}
