/**
 * Prints how the kernel has opened each file through which a record was overwritten, in octal: only
 * a program that may do everything can read that.
 */
import { denoFileSystem } from "../../src/disk/file_system.ts";

const path = await Deno.makeTempFile();
await Deno.remove(path);
const file = await denoFileSystem.create(path);
await file.writeAt(new Uint8Array(100), 0);
await file.sync();
await file.overwrite(new Uint8Array([1, 2, 3]), 10);
for (const { name } of Deno.readDirSync("/proc/self/fd")) {
  try {
    if (Deno.readLinkSync(`/proc/self/fd/${name}`) !== path) continue;
  } catch {
    continue; // It was the directory itself, which is closed again.
  }
  const [, flags] = /flags:\s+([0-7]+)/.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${name}`))!;
  Deno.stdout.writeSync(new TextEncoder().encode(`${flags}\n`));
}
file.close();
await Deno.remove(path);
