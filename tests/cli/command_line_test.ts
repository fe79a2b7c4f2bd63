import assert from "node:assert/strict";
import { helpText, parseCommandLine } from "../../src/cli/command_line.ts";
import { OPTION_NAMES } from "../../src/config/options.ts";
import { ROUTES } from "../../src/http/routes.ts";
import { askReady } from "../../src/cli/instance_client.ts";

Deno.test("no argument means to serve", () => {
  assert.deepEqual(parseCommandLine([]), { command: "serve" });
});

Deno.test("each flag of the contract is a command", () => {
  for (
    const command of ["help", "version", "check-config", "print-config", "change-store", "ready"]
  ) {
    assert.deepEqual(parseCommandLine([`--${command}`]), { command });
  }
});

Deno.test("unknown flags and arguments are errors that point to --help", () => {
  for (
    const args of [
      ["--verison"],
      ["serve"],
      [""],
      ["-x"],
      ["--help=yes"],
      ["--help", "--version"],
      ["toString"],
      ["--all"],
      ["--all", "--ready"],
      ["dead-letters", "list", "--help"],
      ["--user", "u"],
      ["audit", "--yes"],
      ["flush", "now"],
      ["pause", "--all"],
      ["resume", "--help"],
    ]
  ) {
    const parsed = parseCommandLine(args);
    assert.ok("error" in parsed, args.join(" "));
    assert.match(parsed.error, /--help/);
  }
  assert.match(
    (parseCommandLine(["--verison"]) as { error: string }).error,
    /Unknown option '--verison'/,
  );
});

Deno.test("dead-letters takes an action and write ids, or all of them", () => {
  const parse = (...args: string[]) => parseCommandLine(["dead-letters", ...args]);
  const id = "0123456789ab-42";
  const command = "dead-letters";
  const asked = (request: unknown) => ({ command, request });
  const filter = {};
  assert.deepEqual(parse("list"), asked({ action: "list", after: undefined, filter }));
  assert.deepEqual(parse("list", "7.x/y"), asked({ action: "list", after: "7.x/y", filter }));
  assert.deepEqual(parse("count"), asked({ action: "count", filter }));
  assert.deepEqual(parse("show", id), { command, request: { action: "show", id } });
  assert.deepEqual(parse("replay", id, id), {
    command,
    request: { action: "replay", ids: [id, id] },
  });
  assert.deepEqual(parse("replay", "--all"), asked({ action: "replay", filter, yes: false }));
  assert.deepEqual(
    parse("discard", "--all", "--yes"),
    asked({ action: "discard", filter, yes: true }),
  );
  const some = { user: "u", code: "23514", from: "1", until: "2026-01-31" };
  const flags = ["--user", "u", "--code=23514", "--from", "1", "--until", "2026-01-31"];
  assert.deepEqual(
    parse("list", ...flags),
    asked({ action: "list", after: undefined, filter: some }),
  );
  assert.deepEqual(
    parse("discard", ...flags),
    asked({ action: "discard", filter: some, yes: false }),
  );
  for (
    const args of [
      [],
      ["drop"],
      ["show"],
      ["show", "--all"],
      ["replay"],
      ["replay", "x"],
      [
        "discard",
        "--all",
        id,
      ],
      ["list", "--all"],
      ["count", id],
      ["count", "--all"],
      ["count", "--yes"],
      ["show", "--user", "u"],
      ["replay", "--all", "--yes"],
      ["replay", id, "--user", "u"],
      ["discard", id, "--yes"],
      ["discard", "--all", "--code", "23514"],
      ["discard", "--yes"],
      ["list", id, id],
      ["show", id, id],
    ]
  ) {
    assert.ok("error" in parse(...args), args.join(" "));
  }
});

Deno.test("flush, pause, resume and drain are commands by themselves", () => {
  for (const command of ["flush", "pause", "resume", "drain"]) {
    assert.deepEqual(parseCommandLine([command]), { command });
  }
});

Deno.test("the help text names every flag, every option and the exit codes", () => {
  const text = helpText("1.2.3");
  for (
    const word of [
      "1.2.3",
      "--check-config",
      "--print-config",
      "--change-store",
      "--ready",
      "78",
      ...ROUTES.flatMap(({ path, summary }) => [path, summary]),
      ...OPTION_NAMES,
    ]
  ) {
    assert.ok(text.includes(word), word);
  }
  assert.match(text, /BATCH_INTERVAL .*\(default 2s\)/);
  assert.match(text, /DB_PASS .*DB_PASS_FILE/);
});

/** Runs `use` against a server that answers every request so. */
async function withServer(
  answer: (request: Request) => Response | Promise<Response>,
  use: (port: number) => Promise<void>,
) {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, answer);
  try {
    await use(server.addr.port);
  } finally {
    await server.shutdown();
  }
}

Deno.test("askReady asks over loopback when the instance listens on every address", async () => {
  let path = "";
  await withServer((request) => {
    path = new URL(request.url).pathname;
    return new Response("ok\n");
  }, async (port) => {
    assert.deepEqual(await askReady({ listen: { host: "0.0.0.0", port } }), {
      ok: true,
      message: "ready",
    });
  });
  assert.equal(path, "/readyz");
});

Deno.test("askReady passes on why an instance is not ready", async () => {
  await withServer(
    () => new Response("[-] phase: shutting down\nnot ok\n", { status: 503 }),
    async (port) => {
      const { ok, message } = await askReady({ listen: { host: "127.0.0.1", port } });
      assert.equal(ok, false);
      assert.match(message, /status 503, \[-\] phase: shutting down; not ok$/);
    },
  );
});

Deno.test("askReady does not take another program's endless answer", async () => {
  await withServer(() => new Response("x".repeat(32_000_000)), async (port) => {
    const { ok, message } = await askReady({ listen: { host: "127.0.0.1", port } });
    assert.equal(ok, false);
    assert.match(message, /no answer from .*too long/);
  });
});

Deno.test("askReady says so when nobody listens, or nobody can know where", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const refused = await askReady({ listen: { host: "127.0.0.1", port } });
  assert.equal(refused.ok, false);
  assert.match(refused.message, /^not ready: no answer from 127\.0\.0\.1:\d+ \(.*refused/i);
  const unknown = await askReady({ listen: { host: "127.0.0.1", port: 0 } });
  assert.equal(unknown.ok, false);
  assert.match(unknown.message, /PROXY_PORT is 0/);
});

Deno.test("the doctor takes --json, and nothing else", () => {
  assert.deepEqual(parseCommandLine(["doctor"]), { command: "doctor", request: { json: false } });
  assert.deepEqual(parseCommandLine(["doctor", "--json"]), {
    command: "doctor",
    request: { json: true },
  });
  for (const args of [["doctor", "now"], ["doctor", "--reason", "x"], ["doctor", "--help"]]) {
    assert.ok("error" in parseCommandLine(args), args.join(" "));
  }
});
