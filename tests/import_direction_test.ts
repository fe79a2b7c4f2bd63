import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

/**
 * The architecture, lowest first: a module may import its own layer and those before it. Within a layer imports must not
 * form a circle. Adapters stand apart: see the tests.
 */
const LAYERS: readonly (readonly RegExp[])[] = [
  [/^src\/(domain|errors|deadline|version)\.ts$/],
  [/^src\/ports\.ts$/, /^src\/(clock_watch|signals)\.ts$/, /^src\/telemetry\//],
  [
    /^src\/(pending|cache_client|cache_namespace|confirmed_marks|last_known|delivery|first_contact|batcher|breaker|writer|reader|validate|http|body|cross_site|admin_access)\.ts$/,
    /^src\/(store_binding|store_gate|data_dir_check)\.ts$/,
    /^src\/journal\//,
  ],
  [/^src\/core\.ts$/],
  [
    /^src\/handlers\//,
    /^src\/(config|config_loader|config_options|config_parsers|config_urls)\.ts$/,
    /^src\/(command_line|instance_client|dead_letters_command|change_store)\.ts$/,
  ],
  [/^src\/(server|parts)\.ts$/],
  [/^src\/(app|check_configuration)\.ts$/],
  [/^main\.ts$/],
];
const ADAPTER = /^src\/adapters\//;
const OPEN_TO_ADAPTERS = /^src\/(domain|errors|deadline|ports)\.ts$/;

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
    const targets = dependencies.flatMap(({ code, type }) => [local(code?.specifier), local(type?.specifier)]);
    graph.set(from, [...new Set(targets.filter((target) => target !== undefined))]);
  }
  return graph;
}

const layerOf = (file: string) => LAYERS.findIndex((layer) => layer.some((pattern) => pattern.test(file)));

Deno.test("every module has a layer and imports only its own or a lower one", async () => {
  const graph = await importGraph();
  assert.ok(graph.size > 20, `only ${graph.size} modules seen`);
  for (const [file, targets] of graph) {
    if (ADAPTER.test(file)) continue;
    assert.notEqual(layerOf(file), -1, `${file} is in no layer: give it one in this test and in docs/architecture.md`);
    for (const target of targets) {
      if (ADAPTER.test(target)) {
        assert.equal(file, "src/parts.ts", `${file} imports ${target}; only src/parts.ts may`);
      } else assert.ok(layerOf(target) <= layerOf(file), `${file} imports ${target}, which is above it`);
    }
  }
});

Deno.test("an adapter imports the ports and its own parts, never another adapter", async () => {
  for (const [file, targets] of await importGraph()) {
    const name = /^src\/adapters\/([a-z]+)/.exec(file)?.[1];
    if (name === undefined) continue;
    for (const target of targets) {
      const own = target.startsWith(`src/adapters/${name}`);
      assert.ok(own || OPEN_TO_ADAPTERS.test(target), `${file} imports ${target}`);
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
