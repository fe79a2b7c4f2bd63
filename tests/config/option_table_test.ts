import assert from "node:assert/strict";
import { describeConfig, loadConfig } from "../../src/config/config.ts";
import { envExample, environmentNames, OPTION_NAMES } from "../../src/config/options.ts";
import { configOf, load } from "./loading.ts";

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
