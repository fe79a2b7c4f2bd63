/** The program of another version: this one, but for some lines of its source. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROGRAM = ["main.ts", "deno.json", "deno.lock", "src"];

/** Each line in `file` that is replaced is there once. */
export interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export class OtherVersion implements AsyncDisposable {
  private constructor(private readonly folder: string) {}

  static async make(changes: readonly Change[]): Promise<OtherVersion> {
    const folder = await Deno.makeTempDir({ prefix: "dsproxy-version-" });
    for (const name of PROGRAM) await copy(join(ROOT, name), join(folder, name));
    for (const { file, from, to } of changes) {
      const parts = (await Deno.readTextFile(join(folder, file))).split(from);
      assert.equal(parts.length, 2, `${file} does not have this once: ${from}`);
      await Deno.writeTextFile(join(folder, file), parts.join(to));
    }
    return new OtherVersion(folder);
  }

  /** It is for {@link HowToRun.main}. */
  get main(): string {
    return join(this.folder, "main.ts");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function copy(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) await copy(join(from, name), join(to, name));
}
