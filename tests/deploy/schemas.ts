/**
 * Holds documents against the schemas of well-kept validators, which are in pinned packages of PyPI:
 * those of Kubernetes in kubernetes-validate, that of Compose in check-jsonschema.
 */
import { Ajv2020, type AnySchemaObject, type ValidateFunction } from "ajv/dist/2020.js";
import { type Wheel, wheelProgram } from "../support/wheels.ts";

const COMPOSE: Wheel = {
  requirement: "check-jsonschema==0.39.0",
  program: "check_jsonschema/builtin_schemas/vendor/compose-spec.json",
  builds: [],
};

/** These schemas are strict: a field that Kubernetes does not know is a problem. */
const kubernetes = (version: string): Wheel => ({
  requirement: "kubernetes-validate==1.37.0",
  program:
    `kubernetes_validate/kubernetes-json-schema/v${version}.0-local-strict/_definitions.json`,
  builds: [],
});

export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

/** Returns what is wrong with a file of Docker Compose; an empty list when nothing is. */
export async function composeProblems(document: unknown): Promise<string[]> {
  const schema = await readSchema(await wheelProgram(COMPOSE));
  return problems(newAjv().compile(schema), document);
}

/** Returns what is wrong with a resource in the eyes of a version of Kubernetes, as `1.30`. */
export async function kubernetesProblems(resource: Resource, version: string): Promise<string[]> {
  const definitionsFile = await wheelProgram(kubernetes(version));
  const ajv = newAjv();
  ajv.addSchema(await readSchema(definitionsFile));
  const { kind, apiVersion } = resource;
  // As kubernetes-validate names them: of networking.k8s.io/v1 only networking-v1 is left.
  const api = apiVersion.replace(/^([^./]*)[^/]*\//, "$1-");
  const name = `${kind.toLowerCase()}-${api}.json`;
  const schema = await readSchema(definitionsFile.replace("_definitions.json", name));
  const validate = ajv.compile({ ...schema, $id: `https://kubernetes.io/api/${name}` });
  return problems(validate, resource).map((problem) =>
    `${kind} ${resource.metadata.name}: ${problem}`
  );
}

function newAjv(): Ajv2020 {
  // The schemas have words of their own, as x-kubernetes-group-version-kind, and formats as int32.
  return new Ajv2020({ allErrors: true, strict: false, validateFormats: false });
}

function problems(validate: ValidateFunction, document: unknown): string[] {
  if (validate(document)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) =>
    `${instancePath} ${message} ${JSON.stringify(params)}`
  );
}

async function readSchema(path: string): Promise<AnySchemaObject> {
  return JSON.parse(await Deno.readTextFile(path));
}
