/** Everything that is an intake and a source at once, for the contracts of both. */
import type { JournalFileSystem } from "../../src/disk/file_system.ts";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { openJournal } from "../../src/journal/journal.ts";
import type { Intake, IntakeListener } from "../../src/ports/intake.ts";
import type { Source } from "../../src/ports/source.ts";
import { SimulatedDisk } from "../simulation/disk.ts";
import { SimulatedClock, World } from "../simulation/world.ts";
import { drive } from "./driven_world.ts";
import { FakeFileSystem } from "./fake_file_system.ts";
import { FakeJournal } from "./fake_journal.ts";
import { DIR } from "./journals.ts";

interface UnderTest {
  readonly journal: Intake & Source;
  dispose(): Promise<void>;
}

/** By name; each makes an empty one that keeps what is settled. */
export const JOURNALS: Readonly<
  Record<string, (listener: IntakeListener) => Promise<UnderTest>>
> = {
  "journal on a real disk": onRealDisk,
  "journal on a disk in memory": (listener) => onDisk(new FakeFileSystem(), DIR, listener),
  "journal on a simulated disk": onSimulatedDisk,
  "journal in memory": (listener) =>
    Promise.resolve({ journal: new FakeJournal(listener), dispose: () => Promise.resolve() }),
};

async function onDisk(
  fs: JournalFileSystem,
  dir: string,
  listener: IntakeListener,
): Promise<UnderTest> {
  const journal = await openJournal({
    dir,
    maxBytes: 64 * 1024 * 1024,
    // Small, so that contracts are kept over more than one segment.
    segmentBytes: 5_000,
    retainMs: 3_600_000,
    fs,
    listener,
  });
  return { journal, dispose: () => journal.close() };
}

async function onRealDisk(listener: IntakeListener): Promise<UnderTest> {
  const dir = await Deno.makeTempDir();
  const { journal, dispose } = await onDisk(denoFileSystem, dir, listener);
  return {
    journal,
    async dispose() {
      await dispose();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

async function onSimulatedDisk(listener: IntakeListener): Promise<UnderTest> {
  const world = new World(1);
  const driven = drive(world);
  const process = { alive: true };
  const clock = new SimulatedClock(world, process, () => 1_700_000_000_000);
  const journal = await openJournal({
    dir: DIR,
    maxBytes: 64 * 1024 * 1024,
    segmentBytes: 5_000,
    retainMs: 3_600_000,
    fs: new SimulatedDisk(world).mount(process),
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    listener,
  });
  return {
    journal,
    async dispose() {
      await journal.close();
      await driven.stop();
    },
  };
}
