import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Config,
  describeConfig,
  environmentNames,
  loadConfig,
} from "../../src/config/config.ts";
import { envExample, OPTION_NAMES } from "../../src/config/options.ts";
import {
  durationMs,
  formatDuration,
  formatSize,
  InvalidValue,
  sizeBytes,
} from "../../src/config/parsers.ts";

type Variables = Record<string, string>;

function load(variables: Variables, { dotenv, files = {}, isTerminal = false, defaultHost }: {
  dotenv?: string;
  files?: Variables;
  isTerminal?: boolean;
  defaultHost?: string;
} = {}) {
  return loadConfig({
    env: (name) => variables[name],
    dotenvText: dotenv,
    readFile: (path) => {
      const text = Object.hasOwn(files, path) ? files[path] : undefined;
      if (text === undefined) throw new Deno.errors.NotFound(`no such file: ${path}`);
      return text;
    },
    isTerminal,
    ...(defaultHost !== undefined && { defaultHost }),
  });
}

type Options = Parameters<typeof load>[1];

function configOf(variables: Variables, options?: Options): Config {
  const loaded = load(variables, options);
  assert.ok("config" in loaded, `unexpected problems: ${JSON.stringify(loaded)}`);
  return loaded.config;
}

/** Each problem as "VARIABLE: message". */
function problemsOf(variables: Variables, options?: Options): string[] {
  const loaded = load(variables, options);
  assert.ok("problems" in loaded, "problems were expected");
  return loaded.problems.map(({ variable, message }) => `${variable}: ${message}`);
}

function assertProblem(variables: Variables, pattern: RegExp, options?: Options): void {
  const problems = problemsOf(variables, options);
  assert.equal(problems.length, 1, problems.join("\n"));
  assert.match(problems[0]!, pattern);
}

function postgresOf(variables: Variables, options?: Options) {
  const { store } = configOf(variables, options);
  assert.equal(store.kind, "postgres");
  return store as Extract<Config["store"], { kind: "postgres" }>;
}

function redisOf(variables: Variables, options?: Options) {
  const { cache } = configOf(variables, options);
  assert.equal(cache.kind, "redis");
  return cache as Extract<Config["cache"], { kind: "redis" }>;
}

Deno.test("without any setting everything has the default of the contract", () => {
  assert.deepEqual(configOf({}), {
    listen: { host: "0.0.0.0", port: 8080 },
    store: { kind: "sqlite", path: "data/dsproxy.db" },
    cache: { kind: "memory", ttlMs: 300_000, localMax: 100_000 },
    batch: { size: 50, intervalMs: 2000, max: 5000 },
    journal: { dir: "data/journal", maxBytes: 2 ** 30, retainMs: 3_600_000 },
    limits: { bodyBytes: 2 ** 20, keyBytes: 512, valueBytes: 2 ** 18 },
    ack: "durable",
    corsOrigins: [],
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

Deno.test("an empty or blank variable is as good as none, so that .env or the default counts", () => {
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

Deno.test("the original's variables give the original's connection", () => {
  const variables = {
    DB_HOST: "pg",
    DB_PORT: "5433",
    DB_USER: "u",
    DB_PASS: "p",
    DB_NAME: "n",
    DB_POOL_SIZE: "3",
  };
  assert.deepEqual(plain(postgresOf(variables)), {
    kind: "postgres",
    hosts: [{ host: "pg", port: 5433 }],
    user: "u",
    password: "p",
    database: "n",
    sslMode: "prefer",
    targetSessionAttrs: "prefer-read-write",
    poolSize: 3,
  });
});

Deno.test("DATABASE_URL is decoded and wins over DB_*, which fill what it leaves out", () => {
  const url =
    "postgresql://us%40er:p%2Fa%3As%23s@[::1]:5433/my%20db?sslmode=verify-full&sslrootcert=/ca.pem";
  const ca = "-----BEGIN CERTIFICATE-----\n…";
  const store = postgresOf({ DATABASE_URL: url, DB_HOST: "other", DB_PASS: "other" }, {
    files: { "/ca.pem": ca },
  });
  assert.deepEqual(plain(store), {
    kind: "postgres",
    hosts: [{ host: "::1", port: 5433 }],
    user: "us@er",
    password: "p/a:s#s",
    database: "my db",
    sslMode: "verify-full",
    sslRootCert: ca,
    targetSessionAttrs: "prefer-read-write",
    poolSize: 8,
  });
  const partial = postgresOf({ DATABASE_URL: "postgres://db", DB_PASS: "secret", DB_PORT: "6000" });
  assert.deepEqual([partial.hosts, partial.user, partial.password(), partial.database], [
    [{ host: "db", port: 6000 }],
    "postgres",
    "secret",
    "mydb",
  ]);
});

Deno.test("several hosts, and the folder of a Unix socket, are written as in libpq", () => {
  const hostsOf = (variables: Variables) =>
    postgresOf(variables).hosts.map(({ host, port }) => `${host} ${port}`);
  for (
    const [url, expected] of [
      ["postgres://u:p@h1,h2:6000/d", ["h1 5432", "h2 6000"]],
      ["postgres://h1,[::1]:6000,10.0.0.1/d", ["h1 5432", "::1 6000", "10.0.0.1 5432"]],
      ["postgres://h1,h2/d?port=6000", ["h1 6000", "h2 6000"]],
      ["postgres://u@%2Fvar%2Frun%2Fpostgresql/d", ["/var/run/postgresql 5432"]],
      ["postgres://u@%2Frun:6000/d", ["/run 6000"]],
      ["postgresql:///d?host=/var/run/postgresql&port=6000", ["/var/run/postgresql 6000"]],
      ["postgresql://u@/d?host=h1,h2&port=1,2", ["h1 1", "h2 2"]],
      ["postgresql:///d", ["localhost 5432"]],
    ] as const
  ) {
    assert.deepEqual(hostsOf({ DATABASE_URL: url }), expected, url);
    assert.equal(postgresOf({ DATABASE_URL: url }).database, "d", url);
  }
  assert.deepEqual(hostsOf({ DB_HOST: "h1, h2" }), ["h1 5432", "h2 5432"]);
  assert.deepEqual(hostsOf({ DB_HOST: "h1,h2", DB_PORT: "1,2" }), ["h1 1", "h2 2"]);
  assert.deepEqual(hostsOf({ DB_HOST: "/run/postgresql", DB_PORT: "2" }), ["/run/postgresql 2"]);
  assert.deepEqual(hostsOf({ DATABASE_URL: "postgres://h1,h2/d", DB_PORT: "1,2" }), [
    "h1 1",
    "h2 2",
  ]);
  assertProblem(
    { DB_HOST: "h1,h2,h3", DB_PORT: "1,2" },
    /^DB_PORT: 2 ports for 3 hosts: give one for all, or one/,
  );
  assertProblem({ DB_HOST: "h1,,h2" }, /^DB_HOST: "h1,,h2" has nothing before or after a comma/);
  assertProblem({ DATABASE_URL: "postgres://h1,/d" }, /^DATABASE_URL: .*is not one host name/);
});

Deno.test("target_session_attrs, application_name and connect_timeout are those of libpq", () => {
  const url =
    "postgres://u:hunter2@h1,h2/d?target_session_attrs=primary&application_name=a%20b&connect_timeout=7";
  const store = postgresOf({ DATABASE_URL: url, DB_TARGET_SESSION_ATTRS: "any" });
  assert.deepEqual([store.targetSessionAttrs, store.applicationName, store.connectTimeoutMs], [
    "primary",
    "a b",
    7000,
  ]);
  assert.equal(
    postgresOf({ DB_HOST: "h", DB_TARGET_SESSION_ATTRS: "any" }).targetSessionAttrs,
    "any",
  );
  assertProblem(
    { DATABASE_URL: "postgres://h/d?target_session_attrs=master" },
    /^DATABASE_URL: .* has a target_session_attrs that is not known; choose any, read-write/,
  );
  assertProblem(
    { DATABASE_URL: "postgres://h/d?connect_timeout=0" },
    /connect_timeout that is out of range; use 1 to/,
  );
  const loaded = load({ DATABASE_URL: url });
  assert.ok("settings" in loaded);
  assert.match(
    describeConfig(loaded.settings),
    /^DATABASE_URL +postgres:\/\/u:\*\*\*\*@h1,h2\/d\?target_session_attrs=primary&application_name=a%20b&connect_timeout=7 /m,
  );
});

Deno.test("a password that is changed in its file is the new one, and the last one while the file cannot be read", () => {
  const files: Variables = { "/p": "one\n", "/url": "postgres://u:one@h/d\n" };
  for (
    const [variables, path, another] of [
      [{ DB_PASS_FILE: "/p" }, "/p", "two"],
      [{ DATABASE_URL_FILE: "/url" }, "/url", "postgres://u:two@h/d"],
    ] as const
  ) {
    const store = postgresOf(variables, { files });
    assert.equal(store.password(), "one");
    delete files[path];
    assert.equal(store.password(), "one");
    files[path] = another;
    assert.equal(store.password(), "two");
    files[path] = "\0";
    assert.equal(store.password(), path === "/url" ? "two" : "\0");
  }
});

/** With the password that it gives now, to be compared. */
function plain(store: ReturnType<typeof postgresOf>) {
  return { ...store, password: store.password() };
}

Deno.test("a DATABASE_URL that cannot be used is a problem that says why, without showing the password", () => {
  for (
    const [url, pattern] of [
      ["mysql://u:hunter2@h/d", /does not begin with postgres:\/\/ or postgresql:\/\//],
      ["postgres://u:hunter2#x@h/d", /percent-encoded/],
      ["postgres://u:1/hunter2@h/d", /percent-encoded/],
      ["postgres://u:1?hunter2@h/d", /percent-encoded/],
      ["postgres://u:hunter2%@h/d", /%25/],
      ["hunter2", /not a URL/],
      ["postgres:hunter2", /not a URL/],
      ["postgres://u:hunter2@h1,h 2/d", /not one host/],
      ["postgres://u:hunter2@h:0/d", /out of range/],
      ["postgres://u:hunter2@h/d?sslmode=maybe", /choose disable, allow/],
      [
        "postgres://u@h/d?password=hunter2",
        /the parameter "password", which is not supported; remove it/,
      ],
    ] as const
  ) {
    const problems = problemsOf({ DATABASE_URL: url });
    assert.equal(problems.length, 1, url);
    assert.match(problems[0]!, pattern, url);
    assert.match(problems[0]!, /^DATABASE_URL: /);
    assert.doesNotMatch(problems[0]!, /hunter2/, url);
  }
});

Deno.test("certificates are read for PostgreSQL only, and must be certificates", () => {
  const pem = "-----BEGIN CERTIFICATE-----\nabc";
  assert.equal(
    postgresOf({ DB_HOST: "h", DB_SSLROOTCERT: "/ca" }, { files: { "/ca": pem } }).sslRootCert,
    pem,
  );
  assert.equal(configOf({ DB_SSLROOTCERT: "/absent" }).store.kind, "sqlite");
  assertProblem(
    { DB_HOST: "h", DB_SSLROOTCERT: "/absent" },
    /^DB_SSLROOTCERT: .*"\/absent" cannot be read: no such file/,
  );
  assertProblem({ DB_HOST: "h", DB_SSLROOTCERT: "/ca" }, /^DB_SSLROOTCERT: .*PEM/, {
    files: { "/ca": "hello" },
  });
});

Deno.test("REDIS_ADDR is a host, with or without a port, also IPv6", () => {
  for (
    const [addr, host, port] of [
      ["cache:6380", "cache", 6380],
      ["cache", "cache", 6379],
      ["[::1]:6380", "::1", 6380],
      ["[::1]", "::1", 6379],
      ["::1", "::1", 6379],
      ["10.0.0.1:1", "10.0.0.1", 1],
    ] as const
  ) {
    const cache = redisOf({ REDIS_ADDR: addr });
    assert.deepEqual([cache.host, cache.port], [host, port], addr);
  }
  assertProblem({ REDIS_ADDR: "redis://h" }, /REDIS_URL/);
  for (const addr of ["h:", "h:x", "h:70000", ":6379", "a b", "[::1", "1:2:3"]) {
    assertProblem({ REDIS_ADDR: addr }, /^REDIS_ADDR: /);
  }
});

Deno.test("REDIS_URL gives user, password, TLS and database, and wins over REDIS_ADDR and REDIS_PASS", () => {
  const variables = {
    REDIS_URL: "rediss://u:p%40@cache/3",
    REDIS_ADDR: "other:1",
    REDIS_PASS: "x",
    CACHE_PREFIX: "a:",
  };
  assert.deepEqual(redisOf(variables), {
    kind: "redis",
    host: "cache",
    port: 6379,
    username: "u",
    password: "p@",
    tls: true,
    database: 3,
    prefix: "a:",
    ttlMs: 300_000,
    localMax: 100_000,
  });
  const plain = redisOf({ REDIS_URL: "redis://cache:6380", REDIS_PASS: "x" });
  assert.deepEqual([plain.port, plain.password, plain.tls, plain.database], [6380, "x", false, 0]);
  assertProblem(
    { REDIS_URL: "redis://u:hunter2@h/zero" },
    /^REDIS_URL: "redis:\/\/u:\*\*\*\*@h\/zero" has a database/,
  );
  assertProblem({ REDIS_URL: "http://h" }, /does not begin with redis:\/\/ or rediss:\/\//);
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
    QUEUE: "kafka",
    BATCH_INTERVAL: "2 parsecs",
    ACK: "Durable",
    CORS_ORIGINS: "https://a.example, example.org",
    MAX_KEY_BYTES: "2KiB",
    DB_PORT: "x",
  });
  assert.deepEqual(problems, [
    'PROXY_PORT: "70000" is out of range; use 0 to 65535.',
    'DB_PORT: "x" is not a whole number.',
    'QUEUE: "kafka" is not known; this build has only journal.',
    'ACK: "Durable" is not known; choose accepted, durable, flushed.',
    'BATCH_INTERVAL: "2 parsecs" is not a duration such as 250ms, 2s or 1m30s.',
    'MAX_KEY_BYTES: "2KiB" is out of range; use 1 to 1KiB.',
    'CORS_ORIGINS: "https://a.example, example.org" has "example.org", which is not an origin; name each, as in https://app.example.com.',
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

const anyDuration = durationMs(0, Number.MAX_SAFE_INTEGER);
const anySize = sizeBytes(0, Number.MAX_SAFE_INTEGER);

Deno.test("durations are read in every form that the contract and Go allow", () => {
  for (
    const [text, ms] of [
      ["250ms", 250],
      ["2s", 2000],
      ["5m", 300_000],
      ["1h", 3_600_000],
      ["1.5s", 1500],
      [
        "1m30s",
        90_000,
      ],
      ["1h2m3.5s4ms", 3_723_504],
      ["30", 30_000],
      ["0s", 0],
      ["1.1s", 1100],
    ] as const
  ) assert.equal(anyDuration(text), ms, text);
  for (
    const text of ["", "s", "1.5", "-1s", "1 s", "1d", "2S", "1s2", "1e3s", ".5s", "+1s", "1us"]
  ) {
    assert.throws(() => anyDuration(text), InvalidValue, text);
  }
  assert.throws(() => durationMs(1, 60_000)("2m"), /use 1ms to 1m$/);
});

Deno.test("sizes are read in every form that the contract allows", () => {
  for (
    const [text, bytes] of [
      ["64KiB", 65_536],
      ["1GiB", 2 ** 30],
      ["1MB", 1_000_000],
      ["123", 123],
      ["1.5kib", 1536],
      [
        "2 MiB",
        2 ** 21,
      ],
      ["7B", 7],
    ] as const
  ) assert.equal(anySize(text), bytes, text);
  for (const text of ["", "64K", "KiB", "-1", "1e3", "1 GiB ", "0x10", "1__"]) {
    assert.throws(() => anySize(text), InvalidValue, text);
  }
});

Deno.test("every duration and size is read back from the way it is written", () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 10 ** 14 }),
      (ms) => assert.equal(anyDuration(formatDuration(ms)), ms),
    ),
  );
  fc.assert(
    fc.property(
      fc.nat({ max: 10 ** 14 }),
      (bytes) => assert.equal(anySize(formatSize(bytes)), bytes),
    ),
  );
  fc.assert(
    fc.property(
      fc.nat({ max: 10 ** 6 }),
      (kib) => assert.equal(anySize(formatSize(kib * 1024)), kib * 1024),
    ),
  );
});

Deno.test("any user, password and database survive a percent-encoded DATABASE_URL", () => {
  const anyText = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) =>
    !text.includes("\0")
  );
  fc.assert(fc.property(anyText, anyText, anyText, (user, password, database) => {
    const [u, p, d] = [user, password, database].map(encodeURIComponent);
    // The URL standard resolves a path of dots, even when encoded.
    fc.pre(!/^(\.|%2e){1,2}$/i.test(d!));
    const store = postgresOf({ DATABASE_URL: `postgres://${u}:${p}@h/${d}` });
    assert.deepEqual([store.user, store.password(), store.database], [user, password, database]);
  }));
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

Deno.test("describeConfig shows each effective value and its origin, with secrets masked", () => {
  const loaded = load({
    DATABASE_URL: "postgres://me:hunter2@db/x",
    REDIS_PASS_FILE: "/p",
    BATCH_SIZE: "9",
  }, {
    dotenv: "ACK=flushed\nDB_HOST=other",
    files: { "/p": "hunter2" },
  });
  assert.ok("settings" in loaded);
  const text = describeConfig(loaded.settings);
  assert.doesNotMatch(text, /hunter2|other/);
  const lines = text.split("\n");
  for (
    const line of [
      /^DATABASE_URL +postgres:\/\/me:\*\*\*\*@db\/x {2}\(environment\)$/,
      /^DB_HOST +db {2}\(DATABASE_URL\)$/,
      /^DB_PASS +\*\*\*\* {2}\(DATABASE_URL\)$/,
      /^REDIS_PASS +\*\*\*\* {2}\(file\)$/,
      /^BATCH_SIZE +9 {2}\(environment\)$/,
      /^ACK +flushed {2}\(\.env\)$/,
      /^STORE +postgres {2}\(default\)$/,
      /^CORS_ORIGINS +- {2}\(default\)$/,
      /^CACHE_PREFIX +"" {2}\(default\)$/,
    ]
  ) assert.ok(lines.some((candidate) => line.test(candidate)), `${line} in\n${text}`);
  assert.equal(lines.length, OPTION_NAMES.length + 1);
});

Deno.test("only the variables of the table are read from the environment", () => {
  const asked = new Set<string>();
  loadConfig({ env: (name) => void asked.add(name), readFile: () => "", isTerminal: false });
  assert.deepEqual([...asked].sort(), environmentNames().sort());
});

Deno.test("every task that runs the program may read every variable of the table", async () => {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  for (const task of ["start", "dev", "compile"]) {
    const allowed = /--allow-env=([^ ']+)/.exec(tasks[task])?.[1]?.split(",") ?? [];
    const isAllowed = (name: string) =>
      allowed.some((entry) =>
        entry === name || (entry.endsWith("*") && name.startsWith(entry.slice(0, -1)))
      );
    assert.deepEqual(
      environmentNames().filter((name) => !isAllowed(name)),
      [],
      `deno task ${task}`,
    );
  }
});

Deno.test(".env.example is what the option table gives", async () => {
  const text = await Deno.readTextFile(new URL("../../.env.example", import.meta.url));
  const how = `write it anew: deno eval 'import { envExample } from "../src/config/options.ts";` +
    ` Deno.writeTextFileSync(".env.example", envExample())'`;
  assert.equal(text, envExample(), how);
});

Deno.test(".env.example with every line uncommented is a valid configuration", () => {
  const dotenv = envExample().replaceAll(/^# ([A-Z_]+=)/gm, "$1");
  assert.equal(configOf({}, { dotenv }).limits.valueBytes, 2 ** 18);
});

Deno.test("docker-compose.yml sets only variables that the program reads", async () => {
  const text = await Deno.readTextFile(new URL("../../docker-compose.yml", import.meta.url));
  const service = /^ {2}proxy:\n((?: {4}.*\n|\n)*)/m.exec(text)?.[1] ?? "";
  const block = /^ {4}environment:\n((?: {6}.*\n)*)/m.exec(service)?.[1] ?? "";
  const names = [...block.matchAll(/^ {6}([A-Z_]+): /gm)].map((match) => match[1]!);
  assert.ok(names.length > 0, "the environment of the service proxy");
  const known = environmentNames();
  assert.deepEqual(names.filter((name) => !known.includes(name)), []);
});

Deno.test("development listens on this machine alone, unless PROXY_HOST says otherwise", () => {
  assert.equal(configOf({}, { defaultHost: "127.0.0.1" }).listen.host, "127.0.0.1");
  assert.equal(
    configOf({ PROXY_HOST: "0.0.0.0" }, { defaultHost: "127.0.0.1" }).listen.host,
    "0.0.0.0",
  );
});

Deno.test("a protection that this version does not have is a problem, not something to pass over", () => {
  for (const name of ["API_KEYS", "RATE_LIMIT", "TLS_CERT", "TLS_KEY"]) {
    assertProblem({ [name]: "x" }, new RegExp(`^${name}: .*not supported`));
    assertProblem({}, new RegExp(`^${name}: `), { dotenv: `${name}=x` });
    configOf({ [name]: "" });
  }
});

Deno.test("ADMIN_KEY takes hashes of keys, and shows neither a hash nor a key given by mistake", () => {
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
  assert.match(describeConfig(loaded.settings), /^ADMIN_KEY +\*+  \(environment\)$/m);
});

Deno.test("the admin socket is in DATA_DIR, or where ADMIN_SOCKET says", () => {
  assert.equal(configOf({ DATA_DIR: "/d" }).admin.socketPath, "/d/admin.sock");
  const elsewhere = configOf({ DATA_DIR: "/d", ADMIN_SOCKET: "/run/dsproxy/a.sock" });
  assert.equal(elsewhere.admin.socketPath, "/run/dsproxy/a.sock");
});

Deno.test("JOURNAL_RETAIN is a duration, and 0 keeps nothing", () => {
  assert.equal(configOf({ JOURNAL_RETAIN: "90m" }).journal.retainMs, 5_400_000);
  assert.equal(configOf({ JOURNAL_RETAIN: "0" }).journal.retainMs, 0);
});

Deno.test("of a database URL without a host nothing is shown, as its password stands where a port would", () => {
  const problems = problemsOf({ DATABASE_URL: "postgres://app:s3cretPw/mydb" });
  assert.equal(problems.length, 1);
  assert.doesNotMatch(problems[0]!, /s3cretPw/);
});
