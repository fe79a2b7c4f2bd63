import { LeaseOfOne } from "../../src/adapters/memory/lease.ts";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { RedisLease } from "../../src/adapters/redis/lease.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { startPgBouncer } from "../support/pgbouncer.ts";
import { createDatabase } from "../support/postgres.ts";
import { postgresOptions } from "../support/postgres_options.ts";
import { REDIS_VERSIONS, startRedis } from "../support/redis.ts";
import { delay } from "../support/services.ts";
import { leaseContract, type LeaseUnderTest } from "./lease_suite.ts";

/** Servers on this machine, which have its clock. */
const REAL_TIME = { pass: delay, nowMs: () => Date.now() };

leaseContract("the lease of one", () => {
  const clock = new FakeClock();
  return Promise.resolve({
    lease: new LeaseOfOne(() => clock.now()),
    other: undefined,
    pass: (ms) => clock.advance(ms),
    nowMs: () => clock.now(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

for (const version of REDIS_VERSIONS) {
  leaseContract(`redis ${version}`, async () => {
    const stack = new AsyncDisposableStack();
    const { url } = stack.use(await startRedis({ version }));
    const identity = () => Promise.resolve("a database");
    const make = () =>
      stack.adopt(
        new RedisLease({ url, prefix: "p:", identity, callTimeoutMs: 10_000 }),
        (lease) => lease.close(),
      );
    return {
      lease: make(),
      other: make(),
      ...REAL_TIME,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  });
}

leaseContract("PostgreSQL", () => postgresLease((url) => Promise.resolve(url)));

leaseContract(
  "PostgreSQL behind PgBouncer in transaction mode",
  () =>
    postgresLease(async (databaseUrl, stack) => {
      const bouncer = stack.use(await startPgBouncer({ databaseUrl, poolMode: "transaction" }));
      return bouncer.url;
    }),
);

async function postgresLease(
  wayTo: (url: string, stack: AsyncDisposableStack) => Promise<string>,
): Promise<LeaseUnderTest> {
  const stack = new AsyncDisposableStack();
  const database = stack.adopt(await createDatabase(), (it) => it.drop());
  const url = await wayTo(database.url, stack);
  const make = () => {
    const ports = createPostgresStore(postgresOptions(url));
    stack.defer(() => ports.store.close());
    return ports.lease;
  };
  return {
    lease: make(),
    other: make(),
    ...REAL_TIME,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
