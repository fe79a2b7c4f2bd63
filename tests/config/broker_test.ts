import assert from "node:assert/strict";
import { describeConfig } from "../../src/config/config.ts";
import {
  assertProblem,
  configOf,
  kafkaOf,
  load,
  problemsOf,
  rabbitmqOf,
  type Variables,
} from "./loading.ts";

const STORE = { DATABASE_URL: "postgres://db/x" };
const RABBITMQ = { ...STORE, RABBITMQ_URL: "amqp://mq" };
const KAFKA = { ...STORE, KAFKA_BROKERS: "k1" };
const PEM = "-----BEGIN CERTIFICATE-----\nabc";

Deno.test("setting the address of a broker selects it, unless QUEUE says otherwise", () => {
  assert.equal(configOf(STORE).queue.kind, "journal");
  assert.equal(configOf(RABBITMQ).queue.kind, "rabbitmq");
  assert.equal(configOf(KAFKA).queue.kind, "kafka");
  assert.equal(configOf(STORE, { dotenv: "KAFKA_BROKERS=k1" }).queue.kind, "kafka");
  const fromFile = { ...STORE, RABBITMQ_URL_FILE: "/u" };
  assert.equal(configOf(fromFile, { files: { "/u": "amqp://mq\n" } }).queue.kind, "rabbitmq");
  for (const queue of ["journal", "rabbitmq", "kafka"]) {
    assert.equal(configOf({ ...RABBITMQ, ...KAFKA, QUEUE: queue }).queue.kind, queue);
  }
  assert.equal(configOf({ QUEUE: "journal", RABBITMQ_URL: "amqp://mq" }).store.kind, "sqlite");
  assertProblem(
    { ...RABBITMQ, ...KAFKA },
    /^QUEUE: RABBITMQ_URL and KAFKA_BROKERS are both set: say which one with QUEUE=rabbitmq or/,
  );
});

Deno.test("a queue without the address of its broker is a problem", () => {
  assertProblem({ ...STORE, QUEUE: "rabbitmq" }, /^RABBITMQ_URL: is not set.*amqp:\/\/user/);
  assertProblem({ ...STORE, QUEUE: "kafka" }, /^KAFKA_BROKERS: is not set.*as in host:9092/);
  assertProblem({ ...STORE, QUEUE: "kafka", KAFKA_BROKERS: "a b" }, /^KAFKA_BROKERS: "a b" is not/);
  assertProblem({ ...STORE, RABBITMQ_URL_FILE: "/absent" }, /^RABBITMQ_URL: The file "\/absent"/);
});

Deno.test("RABBITMQ_URL is decoded, and what it leaves out is as RabbitMQ has it at first", () => {
  assert.deepEqual(rabbitmqOf(RABBITMQ), {
    kind: "rabbitmq",
    hosts: [{ host: "mq", port: 5672 }],
    user: "guest",
    password: "guest",
    vhost: "/",
    queue: "dsproxy.writes",
    tls: undefined,
  });
  const RABBITMQ_URL = "amqps://us%40er:p%2F%23@mq1,[::1]:6000,10.0.0.1/my%2Fhost";
  assert.deepEqual(rabbitmqOf({ ...STORE, RABBITMQ_URL, RABBITMQ_QUEUE: "q" }), {
    kind: "rabbitmq",
    hosts: [
      { host: "mq1", port: 5671 },
      { host: "::1", port: 6000 },
      { host: "10.0.0.1", port: 5671 },
    ],
    user: "us@er",
    password: "p/#",
    vhost: "my/host",
    queue: "q",
    tls: { rootCert: undefined },
  });
  for (const path of ["", "/", "/%2F", "/%2f", "//"]) {
    assert.equal(rabbitmqOf({ ...STORE, RABBITMQ_URL: `amqp://mq${path}` }).vhost, "/", path);
  }
});

Deno.test("a RABBITMQ_URL that cannot be used says why, and none shows its password", () => {
  for (
    const [url, pattern] of [
      ["http://u:hunter2@h", /does not begin with amqp:\/\/ or amqps:\/\//],
      ["amqp://u:hunter2#x@h/v", /percent-encoded/],
      ["amqp://u:1/hunter2@h/v", /percent-encoded/],
      ["amqp://u:hunter2@h/v?heartbeat=1", /the parameter "heartbeat", which is not supported/],
      ["amqp://u:hunter2@h:0/v", /out of range/],
      ["amqp://u:hunter2@h1,/v", /not one host/],
      ["amqp://u:hunter2@%2Frun/v", /not one host/],
      ["amqp://u:hunter2/v", /whole number/],
    ] as const
  ) {
    const problems = problemsOf({ ...STORE, RABBITMQ_URL: url });
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.match(problems[0]!, pattern, url);
    assert.match(problems[0]!, /^RABBITMQ_URL: /);
    assert.doesNotMatch(problems[0]!, /hunter2/, url);
  }
  const text = described({ ...STORE, RABBITMQ_URL: "amqp://u:hunter2@h1,h2:1/v" });
  assert.match(text, /^RABBITMQ_URL +amqp:\/\/u:\*\*\*\*@h1,h2:1\/v {2}\(environment\)$/m);
  assert.match(text, /^QUEUE +rabbitmq {2}\(default\)$/m);
});

Deno.test("KAFKA_BROKERS and the topic have the defaults of Kafka and of the contract", () => {
  assert.deepEqual(kafkaOf({ ...STORE, KAFKA_BROKERS: "k1, [::1]:1,10.0.0.1:2" }), {
    kind: "kafka",
    brokers: [
      { host: "k1", port: 9092 },
      { host: "::1", port: 1 },
      { host: "10.0.0.1", port: 2 },
    ],
    topic: "dsproxy.writes",
    partitions: 12,
    replicas: undefined,
    tls: undefined,
    sasl: undefined,
  });
  const variables = { KAFKA_TOPIC: "T_1", KAFKA_PARTITIONS: "3", KAFKA_REPLICAS: "2" };
  const { topic, partitions, replicas } = kafkaOf({ ...KAFKA, ...variables });
  assert.deepEqual([topic, partitions, replicas], ["T_1", 3, 2]);
  assertProblem({ ...STORE, KAFKA_BROKERS: "kafka://h" }, /is a URL; write host:port here\.$/);
  assertProblem({ ...STORE, KAFKA_BROKERS: "k1,,k2" }, /has nothing before or after a comma/);
  assertProblem({ ...KAFKA, KAFKA_PARTITIONS: "0" }, /^KAFKA_PARTITIONS: .*use 1 to 10000/);
  assertProblem({ ...KAFKA, KAFKA_REPLICAS: "0" }, /^KAFKA_REPLICAS: .*use 1 to 100/);
});

Deno.test("values that no message of Kafka has room for are refused", () => {
  assertProblem({ ...KAFKA, MAX_VALUE_BYTES: "1MiB" }, /^MAX_VALUE_BYTES: 1048576 is more than a/);
  assert.equal(configOf({ ...KAFKA, MAX_VALUE_BYTES: "1000KiB" }).limits.valueBytes, 1_024_000);
});

Deno.test("names of queues and topics are those that the broker takes, with room behind", () => {
  const longest = "x".repeat(240);
  assert.equal(rabbitmqOf({ ...RABBITMQ, RABBITMQ_QUEUE: longest }).queue, longest);
  assert.equal(kafkaOf({ ...KAFKA, KAFKA_TOPIC: longest }).topic, longest);
  assertProblem({ ...RABBITMQ, RABBITMQ_QUEUE: `${longest}x` }, /has 241 bytes; use 240 at most/);
  assertProblem({ ...RABBITMQ, RABBITMQ_QUEUE: "ä".repeat(121) }, /has 242 bytes/);
  assertProblem({ ...RABBITMQ, RABBITMQ_QUEUE: "amq.x" }, /^RABBITMQ_QUEUE: .*keeps for itself/);
  for (const topic of [`${longest}x`, ".", "..", "a/b", "a b", "ä"]) {
    assertProblem({ ...KAFKA, KAFKA_TOPIC: topic }, /^KAFKA_TOPIC: .*use 1 to 240 of the/);
  }
});

Deno.test("certificates are read for the broker in use, whose connection must be by TLS", () => {
  const files = { "/ca": PEM };
  const secure = { ...STORE, RABBITMQ_URL: "amqps://mq", RABBITMQ_SSLROOTCERT: "/ca" };
  assert.deepEqual(rabbitmqOf(secure, { files }).tls, { rootCert: PEM });
  assert.deepEqual(kafkaOf({ ...KAFKA, KAFKA_TLS: "on" }).tls, { rootCert: undefined });
  const kafka = { ...KAFKA, KAFKA_TLS: "on", KAFKA_SSLROOTCERT: "/ca" };
  assert.deepEqual(kafkaOf(kafka, { files }).tls, { rootCert: PEM });
  assertProblem(secure, /^RABBITMQ_SSLROOTCERT: .*cannot be read: no such file/);
  assertProblem(kafka, /^KAFKA_SSLROOTCERT: .*PEM/, { files: { "/ca": "hello" } });
  assertProblem(
    { ...RABBITMQ, RABBITMQ_SSLROOTCERT: "/ca" },
    /^RABBITMQ_SSLROOTCERT: is set, and the connection is without TLS: begin RABBITMQ_URL with/,
    { files },
  );
  assertProblem(
    { ...KAFKA, KAFKA_SSLROOTCERT: "/ca" },
    /^KAFKA_SSLROOTCERT: is set, and the connection is without TLS: set KAFKA_TLS=on/,
    { files },
  );
  assertProblem({ ...KAFKA, KAFKA_TLS: "yes" }, /^KAFKA_TLS: "yes" is not known; choose on, off/);
});

Deno.test("a login to Kafka is a user and a password, by PLAIN unless another way is named", () => {
  const login = { ...KAFKA, KAFKA_USER: "me", KAFKA_PASS: " hunter2 " };
  const sasl = { mechanism: "PLAIN", user: "me", password: " hunter2 " };
  assert.deepEqual(kafkaOf(login).sasl, sasl);
  for (const mechanism of ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]) {
    const variables = { ...login, KAFKA_SASL_MECHANISM: mechanism };
    assert.deepEqual(kafkaOf(variables).sasl, { ...sasl, mechanism });
  }
  const fromFile = { ...KAFKA, KAFKA_USER: "me", KAFKA_PASS_FILE: "/p" };
  assert.equal(kafkaOf(fromFile, { files: { "/p": "x\n" } }).sasl?.password, "x");
  assert.equal(kafkaOf({ ...KAFKA, KAFKA_PASS: "" }).sasl, undefined);
  const text = described(login);
  assert.match(text, /^KAFKA_SASL_MECHANISM +PLAIN {2}\(default\)$/m);
  assert.match(text, /^KAFKA_PASS +\*+ {2}\(environment\)$/m);
  for (const password of [undefined, ""]) {
    const variables = password === undefined ? {} : { KAFKA_PASS: password };
    assertProblem(
      { ...KAFKA, KAFKA_USER: "me", ...variables },
      /^KAFKA_PASS: is not set, and KAFKA_USER is/,
    );
  }
  assertProblem({ ...KAFKA, KAFKA_PASS: "x" }, /^KAFKA_USER: is not set, and KAFKA_PASS is/);
  assertProblem(
    { ...KAFKA, KAFKA_SASL_MECHANISM: "PLAIN" },
    /^KAFKA_USER: is not set, and KAFKA_SASL_MECHANISM is: set it, or unset KAFKA_SASL_MECHANISM/,
  );
  assertProblem({ ...login, KAFKA_SASL_MECHANISM: "GSSAPI" }, /choose PLAIN, SCRAM-SHA-256, SCRAM/);
});

Deno.test("each role works with a broker, and only all without one", () => {
  for (const role of ["all", "api", "worker"] as const) {
    for (const broker of [RABBITMQ, KAFKA]) {
      assert.equal(configOf({ ...broker, ROLE: role, PROXY_PORT: "1" }).role, role);
    }
    if (role === "all") continue;
    assertProblem(
      { ...STORE, ROLE: role },
      new RegExp(`^ROLE: ${role} needs a broker.*set RABBITMQ_URL or KAFKA_BROKERS.*ROLE=all`),
    );
  }
  assertProblem({ ROLE: "both" }, /^ROLE: "both" is not known; choose all, api, worker/);
});

Deno.test("a broker is refused with the embedded database, whichever the role", () => {
  for (const ROLE of ["all", "api", "worker"]) {
    for (const [broker, queue] of [[RABBITMQ, "rabbitmq"], [KAFKA, "kafka"]] as const) {
      assertProblem(
        { ...broker, ROLE, STORE: "sqlite" },
        new RegExp(`^STORE: sqlite belongs to one process, and QUEUE=${queue} is for several: ch`),
      );
    }
  }
  assertProblem({ RABBITMQ_URL: "amqp://mq" }, /^STORE: sqlite .*DATABASE_URL or DB_\*/);
});

Deno.test("ACK=replicated needs a broker", () => {
  assert.equal(configOf({ ...RABBITMQ, ACK: "replicated" }).ack, "replicated");
  assert.equal(configOf({ ...KAFKA, ACK: "replicated" }).ack, "replicated");
  assertProblem(
    { ACK: "replicated" },
    /^ACK: replicated is confirmed by a broker.*set RABBITMQ_URL.*choose durable or flushed\.$/,
  );
});

Deno.test("what is set for a broker that is not in use does not count", () => {
  const kafka = { KAFKA_PASS: "x", KAFKA_SSLROOTCERT: "/absent", KAFKA_SASL_MECHANISM: "PLAIN" };
  assert.equal(configOf({ ...RABBITMQ, ...kafka }).queue.kind, "rabbitmq");
  assert.equal(configOf({ ...KAFKA, RABBITMQ_SSLROOTCERT: "/absent" }).queue.kind, "kafka");
  assert.equal(configOf(kafka).queue.kind, "journal");
});

Deno.test("a QUEUE that cannot be read is the one problem of what depends on it", () => {
  assertProblem({ QUEUE: "Kafka", ROLE: "api", ACK: "replicated" }, /^QUEUE: "Kafka" is not known/);
});

function described(variables: Variables): string {
  const loaded = load(variables);
  assert.ok("settings" in loaded, JSON.stringify(loaded));
  const text = describeConfig(loaded.settings);
  assert.doesNotMatch(text, /hunter2/);
  return text;
}
