import assert from "node:assert/strict";
import { OPTION_NAMES, optionOf } from "../../src/config/options.ts";
import { VERSION } from "../../src/version.ts";
import {
  type ComposeFile,
  type ComposeService,
  composeText,
  interpolated,
  parseCompose,
  readCompose,
} from "./compose.ts";
import { composeProblems } from "./schemas.ts";
import { isPinned, judge, milliseconds } from "./settings.ts";

const LAYOUTS = {
  rabbitmq: ["docker-compose.yml"],
  kafka: ["docker-compose.yml", "kafka.yml"],
} as const;

const IMAGE = `dsproxy:${VERSION}`;
const ROLES = { "api-1": "api", "api-2": "api", worker: "worker" };

function ours({ services }: ComposeFile): [string, ComposeService][] {
  return Object.entries(services).filter(([, { image }]) => image === IMAGE);
}

function secretFiles(service: ComposeService): Map<string, string> {
  return new Map(
    (service.secrets ?? []).map((secret) =>
      typeof secret === "string"
        ? [`/run/secrets/${secret}`, secret]
        : [secret.target, secret.source]
    ),
  );
}

/** What the service would say to what this one is told. */
function judged(service: ComposeService) {
  const settings = Object.entries(service.environment ?? {})
    .map(([name, value]) => [name, interpolated(value)]);
  const files = secretFiles(service);
  return judge(Object.fromEntries(settings), (path) => files.has(path));
}

for (const [queue, files] of Object.entries(LAYOUTS)) {
  Deno.test(`compose with ${queue} is what the Compose Specification says`, async () => {
    assert.deepEqual(await composeProblems(await readCompose(...files)), []);
  });

  Deno.test(`compose with ${queue} configures each instance as the service wants it`, async () => {
    const layout = await readCompose(...files);
    const roles = ours(layout).map(([name, service]) => {
      const { problems, config } = judged(service);
      assert.deepEqual(problems, [], name);
      assert.equal(config?.queue.kind, queue, name);
      assert.equal(config?.store.kind, "postgres", name);
      return [name, config?.role];
    });
    assert.deepEqual(Object.fromEntries(roles), ROLES);
    assert.equal(layout.services.worker?.deploy?.replicas, 2);
  });

  Deno.test(`compose with ${queue} gives each API server a journal of its own`, async () => {
    const layout = await readCompose(...files);
    const journals = ours(layout).flatMap(([name, service]) => {
      const mounted = (service.volumes ?? []).map((volume) => volume.split(":"));
      const at = service.environment?.DATA_DIR ?? "/data";
      const [volume] = mounted.find(([, target]) => target === at) ?? [];
      if (service.environment?.ROLE !== "api") {
        assert.equal(volume, undefined, `${name} keeps nothing`);
        // Else the image's VOLUME would leave one behind for each of them.
        assert.ok(service.tmpfs?.includes("/data"), name);
        return [];
      }
      assert.ok(volume !== undefined && volume in layout.volumes, `${name} has a named volume`);
      return [volume];
    });
    assert.equal(new Set(journals).size, 2);
  });

  Deno.test(`compose with ${queue} ends nobody before the drain is over`, async () => {
    const layout = await readCompose(...files);
    for (const [name, service] of ours(layout)) {
      const graceMs = judged(service).config?.shutdownGraceMs;
      const stopMs = milliseconds(service.stop_grace_period ?? "10s");
      assert.ok(graceMs !== undefined && stopMs >= graceMs + 5_000, name);
    }
    const nginxMs = milliseconds(layout.services.nginx?.stop_grace_period ?? "10s");
    assert.ok(nginxMs > 30_000, "nginx waits for its longest answer");
  });

  Deno.test(`compose with ${queue} asks everybody for health, pins all, gives no rights`, async () => {
    const layout = await readCompose(...files);
    for (const [name, service] of Object.entries(layout.services)) {
      assert.ok((service.healthcheck?.test.length ?? 0) > 1, `${name} has a health check`);
      assert.ok(isPinned(service.image), `${name}: ${service.image}`);
      assert.deepEqual(service.security_opt, ["no-new-privileges:true"], name);
      assert.notEqual(service.privileged, true, name);
      assert.notEqual(service.user, "root", name);
    }
    for (const [name, service] of ours(layout)) {
      assert.deepEqual(service.healthcheck?.test, ["CMD", "/usr/local/bin/dsproxy", "--ready"]);
      assert.deepEqual(service.cap_drop, ["ALL"], name);
      assert.equal(service.read_only, true, name);
    }
  });

  Deno.test(`compose with ${queue} lets nobody outside reach more than nginx`, async () => {
    const { services } = await readCompose(...files);
    for (const [name, { ports, networks }] of Object.entries(services)) {
      const joined = Array.isArray(networks) ? networks : Object.keys(networks);
      const inFront = name === "nginx" || name.startsWith("api-");
      assert.equal(joined.includes("front"), inFront, name);
      assert.equal(ports !== undefined, name === "nginx", name);
    }
  });

  Deno.test(`compose with ${queue} names secrets by files alone, each of them declared`, async () => {
    const { services, secrets } = await readCompose(...files);
    const secretOptions = OPTION_NAMES.filter((name) => optionOf(name).secret);
    for (const [name, service] of Object.entries(services)) {
      for (const declared of secretFiles(service).values()) {
        assert.ok(declared in secrets, `${name} takes the secret ${declared}`);
      }
      for (const option of secretOptions) {
        const value = service.environment?.[option] ?? "";
        assert.equal(interpolated(value), "", `${name} has ${option} in the file`);
      }
      const passwords = Object.entries(service.environment ?? {})
        .filter(([variable]) => /PASS|SECRET/.test(variable) && !variable.endsWith("_FILE"));
      assert.deepEqual(passwords, [], name);
    }
  });
}

Deno.test("the addresses of the API servers are those that nginx knows", async () => {
  const { services } = await readCompose("docker-compose.yml");
  const known = services.nginx?.extra_hosts;
  const given = ["api-1", "api-2"].map((name) => {
    const networks = services[name]?.networks as Record<string, { ipv4_address?: string }>;
    return `${name}:${networks.front?.ipv4_address}`;
  });
  assert.deepEqual(known, given);
});

Deno.test("the layout of one process is what the Compose Specification says", async () => {
  const text = await Deno.readTextFile(new URL("../../docker-compose.yml", import.meta.url));
  assert.deepEqual(await composeProblems(parseCompose(text)), []);
});

Deno.test("a mistake in a file of Compose is found", async () => {
  const text = await composeText("docker-compose.yml");
  const withMistake = async (found: string, mistake: string) => {
    assert.ok(text.includes(found), found);
    return await composeProblems(parseCompose(text.replace(found, mistake)));
  };
  assert.match((await withMistake("healthcheck:", "heathcheck:")).join(), /heathcheck/);
  assert.match(
    (await withMistake("condition: service_healthy", "condition: healthy")).join(),
    /he/,
  );
  assert.match((await withMistake("networks: [back]", "networks: back")).join(), /networks/);
});

Deno.test("a mistake in what an instance is told is found", async () => {
  const { services } = await readCompose("docker-compose.yml");
  const problemsWith = (change: Readonly<Record<string, string>>) => {
    const api = services["api-1"]!;
    return judged({ ...api, environment: { ...api.environment, ...change } }).problems.join();
  };
  assert.match(problemsWith({ RABBITMQ_URI: "amqp://rabbitmq" }), /RABBITMQ_URI: no option/);
  assert.match(problemsWith({ ROLE: "server" }), /^ROLE/);
  assert.match(problemsWith({ QUEUE: "kafka" }), /^KAFKA_BROKERS/);
  assert.match(problemsWith({ DB_PASS_FILE: "/run/secrets/other" }), /there is no file/);
  assert.equal(isPinned("redis:latest") || isPinned("redis") || isPinned("redis:7"), false);
});

Deno.test("the script makes every secret once, and those that belong together alike", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-secrets-" });
  try {
    const script = `${folder}/make-secrets.sh`;
    await Deno.writeTextFile(script, await composeText("make-secrets.sh"));
    const make = async () => {
      const { success, stderr } = await new Deno.Command("sh", { args: [script] }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      const { secrets } = await readCompose("docker-compose.yml");
      return new Map(
        Object.entries(secrets).map(([name, { file }]) => {
          const path = `${folder}/${file}`;
          assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o644, `${name} is read inside`);
          return [name, Deno.readTextFileSync(path)];
        }),
      );
    };
    const made = await make();
    const password = new URL(made.get("rabbitmq_url")!).password;
    assert.match(password, /^[0-9a-f]{48}$/);
    assert.ok(made.get("rabbitmq_conf")!.includes(`default_pass = ${password}\n`));
    assert.ok(made.get("redis_conf")!.includes(`requirepass ${made.get("redis_password")}\n`));
    assert.notEqual(made.get("postgres_password"), made.get("redis_password"));
    assert.equal((await Deno.stat(`${folder}/secrets`)).mode! & 0o777, 0o700);
    assert.deepEqual(await make(), made, "a second run changes nothing");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
