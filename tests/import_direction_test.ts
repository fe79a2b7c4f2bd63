import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

/** Words that everything may be written in. They import one another at most. */
const WORDS =
  /^src\/(backoff|domain|errors|database_words|deadline|libpq|memory_budget|packed|pause_switch|trace_context|version)\.ts$/;

/**
 * The rooms of the house, lowest first. A room imports itself, the words, the ports, and the doors
 * of the rooms that `from` names; nobody looks into a room but through its doors.
 */
const ROOMS: Readonly<Record<string, { readonly from: string; readonly doors: string }>> = {
  ports: { from: "", doors: "*" },
  disk: { from: "", doors: "file_system small_file neighbours" },
  telemetry: {
    from: "",
    doors:
      "broker_outage families flush_outage gauges log metrics clock_watch load_tracing loop_lag outage_log refused_rows_log spans tracing",
  },
  journal: { from: "disk", doors: "journal checkpoint place verify left_journal" },
  guarding: {
    from: "disk telemetry",
    doors:
      "breaker breakers cache_faults first_contact guarded_cache guarded_store store_binding store_faults " +
      "store_gate",
  },
  intake: { from: "telemetry reading", doors: "intake_half writer pending" },
  reading: {
    from: "disk intake telemetry",
    doors: "reader arrivals cache_client cache_namespace cache_note last_known",
  },
  delivery: {
    from: "telemetry reading",
    doors: "batcher delivery delivery_half store_sink traced_sink",
  },
  forwarding: {
    from: "disk telemetry",
    doors: "forwarding_half forwarded_runs group_message sink_by_source stored_sink to_store",
  },
  applying: { from: "forwarding telemetry", doors: "applier" },
  cluster: {
    from: "telemetry",
    doors:
      "audit_findings auditing auditor dead_letter_retry duty flush_bound layered_slots leadership retention sampled_audit",
  },
  adopting: {
    from: "cluster delivery disk forwarding guarding journal reading telemetry",
    doors: "adoption",
  },
  dashboard: { from: "telemetry", doors: "bundled_page dashboard compose snapshot wording" },
  service_parts: { from: "intake reading delivery forwarding telemetry", doors: "service_parts" },
  closing_list: { from: "telemetry", doors: "closing_list" },
  outbound: { from: "delivery forwarding service_parts", doors: "outbound" },
  service: {
    from: "intake reading delivery forwarding telemetry closing_list outbound service_parts",
    doors: "service",
  },
  worker_service: {
    from: "applying closing_list service_parts telemetry",
    doors: "worker_service",
  },
  steering: { from: "service_parts telemetry", doors: "steering" },
  http: {
    from: "cluster dashboard intake reading steering telemetry",
    doors: "server handlers/* admin_socket routes",
  },
  caching: { from: "config guarding parts reading telemetry", doors: "caching" },
  storing: { from: "cluster config guarding parts telemetry", doors: "storing" },
  service_gauges: { from: "config http readiness telemetry", doors: "service_gauges" },
  readiness: { from: "http service_parts", doors: "readiness" },
  http_front: {
    from: "cluster config dashboard http readiness reading service_parts steering telemetry",
    doors: "http_front",
  },
  config: { from: "", doors: "config options" },
  leading: {
    from: "adopting cluster config disk parts reading telemetry",
    doors: "leading",
  },
  parts: { from: "cluster config guarding adapters", doors: "parts" },
  watching: { from: "cluster config dashboard parts readiness telemetry", doors: "watching" },
  delivery_way: {
    from: "applying config delivery disk forwarding parts service_parts telemetry",
    doors: "delivery_way",
  },
  traced_peers: { from: "config telemetry", doors: "traced_peers" },
  journal_observer: { from: "journal telemetry", doors: "journal_observer" },
  cli: { from: "config dashboard disk guarding http journal parts telemetry", doors: "*" },
  app: { from: "*", doors: "app" },
  main: { from: "*", doors: "" },
  adapters: { from: "", doors: "*" },
};

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}

async function importGraph(): Promise<Map<string, string[]>> {
  const rootUrl = new URL("..", import.meta.url);
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "main.ts"],
    cwd: fileURLToPath(rootUrl),
    stdout: "piped",
  }).output();
  assert.ok(success, "deno info failed");
  const base = rootUrl.href;
  const local = (specifier: string | undefined) =>
    specifier?.startsWith(base) ? specifier.slice(base.length) : undefined;
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: Module[] };
  const graph = new Map<string, string[]>();
  for (const { specifier, dependencies = [] } of modules) {
    const from = local(specifier);
    if (from === undefined) continue;
    const targets = dependencies.flatMap((
      { code, type },
    ) => [local(code?.specifier), local(type?.specifier)]);
    graph.set(from, [...new Set(targets.filter((target) => target !== undefined))]);
  }
  return graph;
}

/** `src/journal/scan.ts` is in the room `journal`; `src/app.ts` and `main.ts` are rooms. */
function roomOf(file: string): string {
  return /^(?:src\/)?([a-z_]+)/.exec(file)![1]!;
}

function lists(words: string, word: string): boolean {
  return words.split(" ").some((item) => item === "*" || item === word);
}

function isDoor(room: string, file: string): boolean {
  const name = file.replace(/^src\//, "").replace(`${room}/`, "").replace(/\.ts$/, "");
  const { doors } = ROOMS[room]!;
  return lists(doors, name) || lists(doors, name.replace(/\/.*/, "/*"));
}

Deno.test("every module is in a room and imports what its room may, through doors", async () => {
  const graph = await importGraph();
  assert.ok(graph.size > 20, `only ${graph.size} modules seen`);
  for (const [file, targets] of graph) {
    if (WORDS.test(file)) continue;
    const room = roomOf(file);
    assert.ok(
      ROOMS[room],
      `${file} is in no room: name it in this test and in docs/architecture.md`,
    );
    for (const target of targets) {
      const to = roomOf(target);
      if (WORDS.test(target) || to === room || to === "ports") continue;
      assert.ok(
        lists(ROOMS[room].from, to),
        `${file} imports ${target}; ${room} may not import ${to}`,
      );
      assert.ok(isDoor(to, target), `${file} imports ${target}, which is not a door of ${to}`);
    }
  }
});

Deno.test("the words import nothing but words", async () => {
  for (const [file, targets] of await importGraph()) {
    if (!WORDS.test(file)) continue;
    for (const target of targets) assert.match(target, WORDS, `${file} imports ${target}`);
  }
});

Deno.test("only src/parts.ts imports adapters, and no adapter imports another", async () => {
  for (const [file, targets] of await importGraph()) {
    const own = /^src\/adapters\/([a-z]+)\//.exec(file)?.[1];
    for (const target of targets) {
      const adapter = /^src\/adapters\/([a-z]+)\//.exec(target)?.[1];
      if (adapter === undefined) continue;
      assert.ok(file === "src/parts.ts" || adapter === own, `${file} imports ${target}`);
    }
  }
});

Deno.test("no imports form a circle", async () => {
  const graph = await importGraph();
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `circle: ${[...path, file].join(" → ")}`);
    if (done.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
});
