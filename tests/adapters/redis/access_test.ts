/**
 * Redis users with few rights, servers of the wrong kind, and what the check of the configuration
 * says of them.
 */
import assert from "node:assert/strict";
import { checkRedis } from "../../../src/adapters/redis/check.ts";
import type { RedisCacheOptions } from "../../../src/adapters/redis/cache.ts";
import { signedCertificate } from "../../support/certificate.ts";
import { Dsproxy, eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { fillIn } from "../../support/fill_in.ts";
import { startRedis } from "../../support/redis.ts";
import {
  LOCAL,
  NO_LOCAL,
  onRedis,
  type RawClient,
  RedisTest,
  type Watched,
} from "../../support/redis_caches.ts";
import { freePort } from "../../support/services.ts";

const USER = "user1";
const [v1, v2] = [entry(1, { userId: USER }), entry(2, { userId: USER })];

/** All that is used of Redis; the optional ones last. */
const NEEDED = ["+get", "+set", "+del", "+type", "+pexpire", "+eval", "+evalsha"];
const OPTIONAL = ["+time", "+info", "+client|tracking", "+client|caching"];
const LOGIN = { username: "app", password: "pw" };

async function admit(
  test: RedisTest,
  rights: readonly string[],
  keys = "~app:*",
): Promise<RawClient> {
  const raw = await test.raw();
  await raw.aclSetUser(LOGIN.username, ["reset", "on", `>${LOGIN.password}`, keys, ...rights]);
  return raw;
}

function open(test: RedisTest, options: Partial<RedisCacheOptions> = {}): Watched {
  return test.open({ ...LOGIN, prefix: "app:", local: LOCAL, ...options });
}

function check(test: RedisTest, options: Partial<Parameters<typeof checkRedis>[0]> = {}) {
  return checkRedis({ url: test.server.url, ...LOGIN, prefix: "app:", tracking: true, ...options });
}

/** Two instances see each other's writes and deletions. */
async function works(a: Watched, b: Watched): Promise<void> {
  await fillIn(a.cache, [v1]);
  assert.deepEqual((await b.cache.get(USER))?.entry, v1);
  await a.cache.update([v2, entry(1, { userId: "a}b" })]);
  await eventually("b sees it", async () => (await b.cache.get(USER))?.entry.seq === 2);
  assert.ok(await b.cache.get("a}b"));
  await a.cache.forget(USER);
  await eventually("b sees that it is gone", async () => await b.cache.get(USER) === undefined);
  for (const { errors } of [a, b]) assert.deepEqual(errors, []);
}

/** How many connections the server has taken; one more each time it is asked. */
async function connections(raw: RawClient): Promise<number> {
  return Number(/total_connections_received:(\d+)/.exec(await raw.info("stats"))![1]);
}

for (
  const rights of [[...NEEDED, ...OPTIONAL], ["+@read", "+@write", "+@scripting", ...OPTIONAL]]
) {
  onRedis(`a user may be kept to its prefix: ${rights.join(" ")}`, async (test) => {
    await admit(test, rights);
    const [a, b] = [open(test), open(test)];
    await works(a, b);
    await fillIn(a.cache, [v1]);
    await eventually("there is a copy", async () => (await b.cache.get(USER))?.source === "local");
    await a.cache.token();
    for (const { notices } of [a, b]) assert.deepEqual(notices, []);
    assert.deepEqual(await check(test), { problems: [], notes: [] });
  });
}

const WITHOUT: Readonly<Record<string, RegExp>> = {
  "+time": /forbids TIME .*\+time/,
  "+info": /forbids INFO .*\+info/,
  "+client|tracking": /has no CLIENT TRACKING.*\+client/,
  "+client|caching": /has no CLIENT CACHING.*\+client/,
};

for (const [right, notice] of Object.entries(WITHOUT)) {
  onRedis(`without ${right} only what needs it is missing, and that is said once`, async (test) => {
    const raw = await admit(test, [...NEEDED, ...OPTIONAL.filter((other) => other !== right)]);
    const [a, b] = [open(test), open(test)];
    await works(a, b);
    const made = await connections(raw);
    await new Promise((resolve) => setTimeout(resolve, 1_200)); // A heartbeat.
    await works(a, b);
    assert.equal(await connections(raw), made, "no connection is made anew");
    const source = right === "+client|tracking" ? "redis" : "local";
    await fillIn(a.cache, [v1]);
    await b.cache.get(USER);
    await eventually(
      `b answers from ${source}`,
      async () => (await b.cache.get(USER))?.source === source,
    );
    for (const { notices } of [a, b]) {
      assert.equal(notices.length, 1, notices.join("\n"));
      assert.match(notices[0]!, notice);
      assert.ok(notices[0]!.startsWith(`Redis at 127.0.0.1:${test.server.port} `));
    }
    const { problems, notes } = await check(test);
    assert.deepEqual(problems, []);
    assert.deepEqual(notes, a.notices);
  });
}

onRedis("without HELLO there are no local copies, and that is said once", async (test) => {
  const [a, b] = [LOCAL, NO_LOCAL].map((local) => test.open({ local })) as [Watched, Watched];
  await works(a, b);
  await fillIn(a.cache, [v1]);
  for (let time = 0; time < 3; time++) assert.equal((await a.cache.get(USER))?.source, "redis");
  assert.equal(a.notices.length, 1);
  assert.match(a.notices[0]!, /has no CLIENT TRACKING.*HELLO is renamed/);
  assert.deepEqual(b.notices, [], "who wants no copies misses nothing");
}, { config: ['rename-command HELLO ""'] });

onRedis("a right that is given later is used from the next connection on", async (test) => {
  const raw = await admit(test, NEEDED);
  const { cache } = open(test);
  await fillIn(cache, [v1]);
  await cache.get(USER);
  assert.equal((await cache.get(USER))?.source, "redis");
  await raw.aclSetUser("app", [...OPTIONAL]);
  await raw.sendCommand(["CLIENT", "KILL", "USER", "app"]);
  await eventually(
    "it is there again",
    () => fillIn(cache, [v1]).then(() => true, () => false),
  );
  await eventually("there are copies", async () => (await cache.get(USER))?.source === "local");
});

onRedis("without scripts nothing is cached, and nothing older is read", async (test) => {
  const scripts = ["+eval", "+evalsha"];
  const raw = await admit(test, [...NEEDED, ...OPTIONAL]);
  const { cache, errors } = open(test);
  await fillIn(cache, [v1]);
  await raw.aclSetUser("app", ["-@scripting"]);
  const made = await connections(raw);
  for (let time = 0; time < 5; time++) await fillIn(cache, [v2]);
  assert.equal(await cache.get(USER), undefined);
  await cache.forget(USER);
  assert.equal(errors.length, 5);
  for (const error of errors) assert.match(error, /NOPERM .*\+evalsha.*dropped/);
  assert.equal(await connections(raw), made);
  const { problems } = await check(test);
  for (const right of scripts) {
    assert.ok(problems.some((problem) => problem.endsWith(`lacks ${right})`)), problems.join());
  }
});

onRedis("the check names each right that is missing, and leaves nothing behind", async (test) => {
  for (const right of NEEDED) {
    const raw = await admit(test, [...NEEDED, ...OPTIONAL].filter((other) => other !== right));
    const { problems, notes } = await check(test);
    assert.ok(
      problems.some((problem) => problem.endsWith(`lacks ${right})`)),
      `${right}: ${problems.join()}`,
    );
    assert.deepEqual(notes, []);
    if (right !== "+del") assert.equal(await raw.dbSize(), 0);
    await raw.flushAll();
  }
});

onRedis(
  "the check tells a wrong password, foreign keys and a server that is not there",
  async (test) => {
    await admit(test, [...NEEDED, ...OPTIONAL]);
    const problemsOf = async (options: Parameters<typeof check>[1]) =>
      (await check(test, options)).problems.join("\n");
    assert.match(await problemsOf({ password: "wrong" }), /^Redis at .*: WRONGPASS[^\n]*$/);
    assert.match(await problemsOf({ prefix: "" }), /NOPERM.*~PREFIX\*/i);
    assert.match(await problemsOf({ database: 3 }), /lacks \+select/);
    await test.server.stop();
    assert.match(await problemsOf({}), /^Redis at .*: .*ECONNREFUSED[^\n]*$/);
    await test.server.start();
  },
);

onRedis(
  "the check tells a full server from one that may become full, and one without replicas",
  async (test) => {
    const raw = await admit(test, ["+@all"]);
    await raw.configSet("maxmemory", "100mb");
    const roomy = await check(test);
    assert.deepEqual(roomy.problems, []);
    assert.match(
      roomy.notes.join("\n"),
      /^Redis at .* refuses updates once its maxmemory of 104857600 bytes is reached/,
    );
    await raw.configSet("maxmemory", "1");
    assert.match((await check(test)).problems.join("\n"), /OOM .*maxmemory-policy/);
    await raw.configSet("maxmemory", "0");
    await raw.configSet("min-replicas-to-write", "1");
    assert.match((await check(test)).problems.join("\n"), /NOREPLICAS/);
    await raw.configSet("min-replicas-to-write", "0");
    await raw.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
    assert.match(
      (await check(test)).problems.join("\n"),
      /it is a read-only replica of 127\.0\.0\.1:1: name the primary$/,
    );
  },
);

/** Refused by its name, without a hot loop, by calls and check alike. */
async function isRefused(test: RedisTest, named: RegExp): Promise<void> {
  const { cache, errors } = test.open({ local: LOCAL });
  for (
    const call of [
      () => cache.get(USER),
      () => fillIn(cache, [v1]),
      () => cache.forget(USER),
      () => cache.token(),
    ]
  ) {
    await assert.rejects(async () => await call(), named);
  }
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  assert.ok(errors.length < 10, `${errors.length} attempts in a second`);
  for (const error of errors) assert.match(error, named);
  const { problems } = await checkRedis({ url: test.server.url, prefix: "", tracking: true });
  assert.equal(problems.length, 1, problems.join());
  assert.match(problems[0]!, named);
}

const CLUSTER =
  /^(Cache\w+: |Error: )?Redis at 127\.0\.0\.1:\d+: .*a node of a Redis Cluster, which is not/;

onRedis("a node of a cluster is refused by name", async (test) => {
  await isRefused(test, CLUSTER);
  const raw = await test.raw();
  await raw.sendCommand([
    "CLUSTER",
    "ADDSLOTS",
    ...Array.from({ length: 16_384 }, (_, slot) => String(slot)),
  ]);
  await eventually("it serves all slots", () => raw.set("x", "y").then(() => true, () => false));
  await isRefused(test, CLUSTER); // As it would fail when the first slot moves.
}, { config: ["cluster-enabled yes"] });

onRedis("a node of a cluster is named by its answers where INFO is forbidden", async (test) => {
  await admit(test, [...NEEDED, ...OPTIONAL.filter((right) => right !== "+info")]);
  const { cache } = open(test);
  await assert.rejects(async () => await cache.get(USER), CLUSTER);
  await assert.rejects(fillIn(cache, [v1]), CLUSTER);
  const { problems } = await check(test);
  assert.ok(
    problems.length > 0 && problems.every((problem) => CLUSTER.test(problem)),
    problems.join(),
  );
}, { config: ["cluster-enabled yes"] });

onRedis("a Sentinel is refused by name", async (test) => {
  await isRefused(
    test,
    /Redis at 127\.0\.0\.1:\d+: it is a Sentinel, .* name the server that it watches/,
  );
}, { sentinel: true });

Deno.test("a server is reached by TLS if its certificate is trusted, else refused", async () => {
  await using folder = await temporaryFolder();
  const [authority, cert, key] = await signedCertificate(folder.path);
  const tlsPort = freePort();
  const tls = [
    `tls-port ${tlsPort}`,
    `tls-cert-file ${cert}`,
    `tls-key-file ${key}`,
    "tls-auth-clients no",
  ];
  await using server = await startRedis({ config: tls });
  await using test = new RedisTest(server, "7");
  const raw = await test.raw();
  // In processes of their own, as whom to trust is decided when one starts.
  for (const trust of [{ DENO_CERT: authority }, {}]) {
    const DATA_DIR = `${folder.path}/${Object.keys(trust).length}`;
    await using service = await Dsproxy.start({
      DATA_DIR,
      REDIS_URL: `rediss://127.0.0.1:${tlsPort}`,
      ...trust,
    });
    await raw.flushAll();
    await service.accept({ user_id: "u", value: "by TLS" }, "?ack=flushed");
    const isTrusted = "DENO_CERT" in trust;
    assert.equal(await raw.get("u"), isTrusted ? "by TLS" : null, service.log);
    if (!isTrusted) assert.match(service.log, /Redis at 127\.0\.0\.1:\d+: .*certificate/i);
  }
});

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ prefix: "dsproxy-tls-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
