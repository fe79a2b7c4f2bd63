import assert from "node:assert/strict";
import fc from "fast-check";
import { describeConfig } from "../../src/config/config.ts";
import {
  assertProblem,
  configOf,
  load,
  postgresOf,
  problemsOf,
  redisOf,
  type Variables,
} from "./loading.ts";

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
  const url = "postgres://u:hunter2@h1,h2/d?target_session_attrs=primary&application_name=a%20b" +
    "&connect_timeout=7";
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
    /^DATABASE_URL +postgres:\/\/u:\*\*\*\*@h1,h2\/d\?target_session_attrs=primary&application/m,
  );
});

Deno.test("a password changed in its file is the new one, and stays while none can be read", () => {
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

Deno.test("a DATABASE_URL that cannot be used says why, and hides the password", () => {
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

Deno.test("REDIS_URL gives user, password, TLS and database, and wins over the others", () => {
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

Deno.test("of a database URL without a host nothing is shown, as it may be a password", () => {
  const problems = problemsOf({ DATABASE_URL: "postgres://app:s3cretPw/mydb" });
  assert.equal(problems.length, 1);
  assert.doesNotMatch(problems[0]!, /s3cretPw/);
});
