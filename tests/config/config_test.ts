import assert from "node:assert/strict";
import fc from "fast-check";
import { describeConfig, loadConfig } from "../../src/config/config.ts";
import { OPTION_NAMES } from "../../src/config/options.ts";
import { assertProblem, configOf, load, postgresOf, problemsOf, redisOf } from "./loading.ts";

Deno.test("without any setting everything has the default of the contract", () => {
  assert.deepEqual(configOf({}), {
    listen: { host: "0.0.0.0", port: 8080 },
    store: { kind: "sqlite", path: "data/dsproxy.db" },
    cache: { kind: "memory", ttlMs: 300_000, localMax: 100_000 },
    role: "all",
    queue: { kind: "journal" },
    adopt: undefined,
    batch: { size: 50, intervalMs: 2000, max: 5000 },
    journal: { dir: "data/journal", maxBytes: 2 ** 30, retainMs: 3_600_000 },
    limits: { bodyBytes: 2 ** 20, keyBytes: 512, valueBytes: 2 ** 18 },
    deadLetterRetryMs: [],
    ack: "durable",
    corsOrigins: [],
    dashboard: true,
    admin: { socketPath: "data/admin.sock", keyHashes: [] },
    shutdownGraceMs: 25_000,
    log: { level: "info", format: "json" },
    dataDir: "./data",
  });
});

Deno.test("the environment wins over .env, and .env over the default", () => {
  const config = configOf({ BATCH_SIZE: "7" }, {
    dotenv: "BATCH_SIZE=8\nBATCH_MAX='900' # most\nexport LOG_LEVEL=warn\n",
  });
  assert.equal(config.batch.size, 7);
  assert.equal(config.batch.max, 900);
  assert.equal(config.log.level, "warn");
  assert.equal(config.limits.keyBytes, 512);
});

Deno.test("an empty or blank variable is none, so that .env or the default counts", () => {
  const config = configOf({ BATCH_SIZE: "", PROXY_PORT: "  ", DB_HOST: "", REDIS_URL: "" }, {
    dotenv: "BATCH_SIZE=8\nACK=\n",
  });
  assert.equal(config.batch.size, 8);
  assert.equal(config.listen.port, 8080);
  assert.equal(config.ack, "durable");
  assert.equal(config.store.kind, "sqlite");
  assert.equal(config.cache.kind, "memory");
});

Deno.test("an empty password is an empty password", () => {
  assert.equal(postgresOf({ DB_PASS: "" }).password(), "");
  assert.equal(postgresOf({ DB_HOST: "db" }).password(), "postgres");
  assert.equal(redisOf({ REDIS_ADDR: "cache", REDIS_PASS: "" }).password, undefined);
});

Deno.test(".env is taken literally: no expansion of $ in it", () => {
  assert.equal(postgresOf({}, { dotenv: "DB_PASS=a$DB_HOST${X}\n" }).password(), "a$DB_HOST${X}");
});

Deno.test("blanks around a value do not count, but those of a password do", () => {
  assert.equal(postgresOf({ DB_HOST: " db\r", DB_PASS: " x " }).hosts[0]!.host, "db");
  assert.equal(postgresOf({ DB_PASS: " x " }).password(), " x ");
});

Deno.test("setting any part of the PostgreSQL connection selects PostgreSQL", () => {
  for (
    const [name, value] of Object.entries({
      DB_HOST: "h",
      DB_PORT: "1",
      DB_USER: "u",
      DB_PASS: "",
      DB_NAME: "n",
    })
  ) {
    assert.equal(configOf({ [name]: value }).store.kind, "postgres", name);
    assert.equal(configOf({}, { dotenv: `${name}=${value}` }).store.kind, "postgres", name);
  }
  assert.equal(configOf({ DATABASE_URL: "postgres://h/d" }).store.kind, "postgres");
  assert.equal(
    configOf({ DB_PASS_FILE: "/run/p" }, { files: { "/run/p": "x" } }).store.kind,
    "postgres",
  );
  assert.equal(configOf({ DB_SSLMODE: "require", DB_POOL_SIZE: "2" }).store.kind, "sqlite");
});

Deno.test("setting a Redis address selects Redis", () => {
  assert.equal(configOf({ REDIS_ADDR: "h" }).cache.kind, "redis");
  assert.equal(configOf({ REDIS_URL: "redis://h" }).cache.kind, "redis");
  assert.equal(configOf({ REDIS_PASS: "x" }).cache.kind, "memory");
});

Deno.test("STORE and CACHE win over what the other settings select", () => {
  const config = configOf({ STORE: "sqlite", CACHE: "memory", DB_HOST: "db", REDIS_ADDR: "cache" });
  assert.equal(config.store.kind, "sqlite");
  assert.equal(config.cache.kind, "memory");
  assert.equal(postgresOf({ STORE: "postgres" }).hosts[0]!.host, "localhost");
  assert.equal(redisOf({ CACHE: "redis" }).port, 6379);
});

Deno.test("a secret comes from the file that NAME_FILE names, less one trailing newline", () => {
  const files = { "/p": "a\n\n", "/u": "redis://:x@h\r\n" };
  assert.equal(postgresOf({ DB_PASS_FILE: "/p" }, { files }).password(), "a\n");
  assert.equal(redisOf({ REDIS_URL_FILE: "/u" }, { files }).password, "x");
  assert.equal(
    postgresOf({ DB_PASS_FILE: "/p" }, { files, dotenv: "DB_PASS=dev" }).password(),
    "a\n",
  );
  assertProblem(
    { DB_PASS_FILE: "/absent" },
    /^DB_PASS: The file "\/absent" cannot be read: no such file/,
  );
  assertProblem(
    { DB_PASS_FILE: "/p", DB_PASS: "x" },
    /^DB_PASS: is set together with DB_PASS_FILE/,
    { files },
  );
  assertProblem(
    { DATABASE_URL_FILE: "/p" },
    /^DATABASE_URL: "\*\*\*\*" \(from the file that DATABASE_URL_FILE names\)/,
    {
      files,
    },
  );
});

Deno.test("every problem is reported at once, each with its variable and value", () => {
  const problems = problemsOf({
    PROXY_PORT: "70000",
    QUEUE: "nats",
    BATCH_INTERVAL: "2 parsecs",
    ACK: "Durable",
    CORS_ORIGINS: "https://a.example, example.org",
    MAX_KEY_BYTES: "2KiB",
    DB_PORT: "x",
  });
  assert.deepEqual(problems, [
    'PROXY_PORT: "70000" is out of range; use 0 to 65535.',
    'DB_PORT: "x" is not a whole number.',
    'QUEUE: "nats" is not known; choose journal, rabbitmq, kafka.',
    'ACK: "Durable" is not known; choose accepted, durable, replicated, flushed.',
    'BATCH_INTERVAL: "2 parsecs" is not a duration such as 250ms, 2s or 1m30s.',
    'MAX_KEY_BYTES: "2KiB" is out of range; use 1 to 1KiB.',
    'CORS_ORIGINS: "https://a.example, example.org" has "example.org", which is not an origin; ' +
    "name each, as in https://app.example.com.",
  ]);
});

Deno.test("options that contradict each other are a problem", () => {
  assertProblem({ BATCH_SIZE: "6000" }, /^BATCH_SIZE: 6000 is more than BATCH_MAX=5000/);
  assertProblem(
    { JOURNAL_MAX_BYTES: "3MiB" },
    /^JOURNAL_MAX_BYTES: 3MiB is less than 4 × MAX_BODY_BYTES=1MiB/,
  );
  assertProblem(
    { JOURNAL_MAX_BYTES: "1023KiB", MAX_BODY_BYTES: "1KiB" },
    /^JOURNAL_MAX_BYTES: .*use 1MiB to/,
  );
  assert.equal(
    configOf({ JOURNAL_MAX_BYTES: "1MiB", MAX_BODY_BYTES: "256KiB" }).journal.maxBytes,
    2 ** 20,
  );
});

Deno.test("a value that is not text is a problem that does not show it", () => {
  const loaded = loadConfig({
    env: (name) => {
      if (name === "DB_PASS") {
        throw new Deno.errors.InvalidData('not valid unicode: "\\xFFhunter2"');
      }
      return undefined;
    },
    readFile: () => "",
    isTerminal: false,
  });
  assert.deepEqual(loaded, {
    problems: [{ variable: "DB_PASS", message: "The value of DB_PASS is not valid UTF-8." }],
  });
});

Deno.test("ports, addresses and origins are read as people write them", () => {
  assert.equal(configOf({ PROXY_PORT: ":9090" }).listen.port, 9090);
  assert.equal(configOf({ PROXY_PORT: "0" }).listen.port, 0);
  assert.equal(configOf({ PROXY_HOST: "[::]" }).listen.host, "::");
  assert.deepEqual(
    configOf({ CORS_ORIGINS: "https://A.example/, http://b.example:81," }).corsOrigins,
    [
      "https://a.example",
      "http://b.example:81",
    ],
  );
  for (
    const origin of [
      "*",
      "null",
      "https://a.example/path",
      "https://u@a.example",
      "ftp://a.example",
    ]
  ) {
    assertProblem({ CORS_ORIGINS: origin }, /^CORS_ORIGINS: /);
  }
});

Deno.test("logs are pretty on a terminal unless LOG_FORMAT says otherwise", () => {
  assert.equal(configOf({}, { isTerminal: true }).log.format, "pretty");
  assert.equal(configOf({ LOG_FORMAT: "json" }, { isTerminal: true }).log.format, "json");
  assert.equal(configOf({ LOG_FORMAT: "pretty" }).log.format, "pretty");
});

Deno.test("no text in any variable makes loading throw, and no secret appears in a problem", () => {
  const names = fc.constantFrom(...OPTION_NAMES);
  fc.assert(fc.property(fc.dictionary(names, fc.string()), (variables) => {
    const secret = "hunter2hunter2";
    const loaded = load({ ...variables, DATABASE_URL: `${variables.DATABASE_URL ?? ""}${secret}` });
    assert.ok("problems" in loaded);
    assert.ok(!JSON.stringify(loaded).includes(secret));
  }));
});

Deno.test("development listens on this machine alone, unless PROXY_HOST says otherwise", () => {
  assert.equal(configOf({}, { defaultHost: "127.0.0.1" }).listen.host, "127.0.0.1");
  assert.equal(
    configOf({ PROXY_HOST: "0.0.0.0" }, { defaultHost: "127.0.0.1" }).listen.host,
    "0.0.0.0",
  );
});

Deno.test("a protection that this version does not have is a problem", () => {
  for (const name of ["API_KEYS", "RATE_LIMIT", "TLS_CERT", "TLS_KEY"]) {
    assertProblem({ [name]: "x" }, new RegExp(`^${name}: .*not supported`));
    assertProblem({}, new RegExp(`^${name}: `), { dotenv: `${name}=x` });
    configOf({ [name]: "" });
  }
});

Deno.test("ADMIN_KEY takes hashes, and shows neither one nor a key given by mistake", () => {
  const [one, two] = ["0123456789abcdef".repeat(4), "f".repeat(64)];
  const hashesOf = (text: string) => configOf({ ADMIN_KEY: text }).admin.keyHashes;
  assert.deepEqual(hashesOf(one), [one]);
  assert.deepEqual(hashesOf(`admin:${one.toUpperCase()}, ${two}`), [one, two]);
  const fromFile = configOf({ ADMIN_KEY_FILE: "/run/k" }, { files: { "/run/k": `${two}\n` } });
  assert.deepEqual(fromFile.admin.keyHashes, [two]);
  for (const wrong of ["hunter2", one.slice(1), `${one}0`, `${one},`, `write:${one}`]) {
    assertProblem({ ADMIN_KEY: wrong }, /^ADMIN_KEY: "\*+" (is not a SHA-256|has nothing)/);
  }
  const loaded = load({ ADMIN_KEY: one });
  assert.ok("settings" in loaded);
  assert.match(describeConfig(loaded.settings), /^ADMIN_KEY +\*+ +\(environment\)$/m);
});

Deno.test("the admin socket is in DATA_DIR, or where ADMIN_SOCKET says", () => {
  assert.equal(configOf({ DATA_DIR: "/d" }).admin.socketPath, "/d/admin.sock");
  const elsewhere = configOf({ DATA_DIR: "/d", ADMIN_SOCKET: "/run/dsproxy/a.sock" });
  assert.equal(elsewhere.admin.socketPath, "/run/dsproxy/a.sock");
  const loaded = load({ DATA_DIR: "/d" });
  assert.ok("settings" in loaded);
  assert.match(describeConfig(loaded.settings), /^ADMIN_SOCKET +\/d\/admin\.sock +\(default\)$/m);
});

Deno.test("JOURNAL_RETAIN is a duration, and 0 keeps nothing", () => {
  assert.equal(configOf({ JOURNAL_RETAIN: "90m" }).journal.retainMs, 5_400_000);
  assert.equal(configOf({ JOURNAL_RETAIN: "0" }).journal.retainMs, 0);
});

Deno.test("RETENTION is a duration of an hour at least, so that 30 is not taken for days", () => {
  assert.equal(configOf({}).retentionMs, undefined);
  assert.equal(configOf({ RETENTION: "30d" }).retentionMs, 30 * 86_400_000);
  const loaded = load({ RETENTION: "30" });
  assert.ok("problems" in loaded);
  assert.match(loaded.problems[0]!.message, /out of range; use 1h to/);
});

Deno.test("DEAD_LETTER_RETRY is a list of ages that ascend", () => {
  assert.deepEqual(configOf({}).deadLetterRetryMs, []);
  const { deadLetterRetryMs } = configOf({ DEAD_LETTER_RETRY: "1m, 10m,1d" });
  assert.deepEqual(deadLetterRetryMs, [60_000, 600_000, 86_400_000]);
  for (const wrong of ["10m,1m", "1m,1m", "1m,,2m", "soon"]) {
    assert.ok("problems" in load({ DEAD_LETTER_RETRY: wrong }), wrong);
  }
});

Deno.test("the journals of other instances are looked at where a volume is named, and a store is shared", () => {
  const url = "postgres://db/x";
  assert.deepEqual(configOf({ DATABASE_URL: url, ADOPT_FROM: "/volume" }).adopt, {
    from: "/volume",
    afterMs: 60_000,
  });
  assert.equal(
    configOf({ DATABASE_URL: url, ADOPT_FROM: "/volume", ADOPT_AFTER: "10s" }).adopt?.afterMs,
    10_000,
  );
  assert.equal(configOf({ DATABASE_URL: url, ADOPT_AFTER: "10s" }).adopt, undefined);
  assertProblem(
    { ADOPT_FROM: "/volume" },
    /^ADOPT_FROM: \/volume has writes of other instances, and STORE=sqlite .*DATABASE_URL/,
  );
});
